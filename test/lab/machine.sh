#!/bin/sh
# Makes a Debian root a machine that tests can boot: a user, a session, an agent.
# mmdebstrap runs it as its customize hook:
#   machine.sh ROOT
set -eu
root=$1
write() { # FILE, its content on stdin
	mkdir -p "$root/$(dirname "$1")"
	cat >"$root/$1"
}

# The user, who has sub-ids by login.defs, stays logged in (as "loginctl
# enable-linger" does), and may log in again with ssh from the machine itself.
chroot "$root" useradd --create-home --uid 1000 --shell /bin/bash nook-test
mkdir -p "$root/var/lib/systemd/linger" "$root/nook"
: >"$root/var/lib/systemd/linger/nook-test"
chroot "$root" su nook-test -c '
	mkdir -m 700 ~/.ssh && ssh-keygen -q -t ed25519 -N "" -f ~/.ssh/id_ed25519 && cp ~/.ssh/id_ed25519.pub ~/.ssh/authorized_keys'
printf 'Host localhost\n\tStrictHostKeyChecking no\n\tUserKnownHostsFile /dev/null\n\tLogLevel ERROR\n\tBatchMode yes\n' |
	write etc/ssh/ssh_config.d/nook-test.conf
printf 'UsePAM yes\nPrintMotd no\nUseDNS no\nLoginGraceTime 0\nMaxSessions 50\nMaxStartups 50\n' | write etc/ssh/sshd_config.d/nook-test.conf

# Every controller for the user's own manager; by default it has but a few.
printf '[Service]\nDelegate=cpu cpuset io memory pids\nTimeoutStartSec=15min\n' | write etc/systemd/system/user@.service.d/delegate.conf
# A user may read journals of their own only if they are kept.
mkdir -p "$root/var/log/journal"
printf '[Journal]\nStorage=persistent\nRateLimitIntervalSec=0\n' | write etc/systemd/journald.conf.d/nook-test.conf

# What the tests bring is the second disk of a VM, which the user's manager finds when it
# starts. In a sandbox it is mounted before systemd starts, and nobody needs the agent.
write etc/systemd/system/nook-payload.service <<'UNIT'
[Unit]
Description=Mounts what the tests bring
ConditionVirtualization=vm
Before=user@1000.service nook-agent.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=modprobe virtio_blk
ExecStart=mount -o ro /dev/vda /nook
[Install]
WantedBy=multi-user.target
UNIT
write etc/systemd/system/nook-agent.service <<'UNIT'
[Unit]
Description=Runs commands for the tests
ConditionVirtualization=vm
After=dbus.service systemd-logind.service systemd-user-sessions.service ssh.socket
[Service]
ExecStart=/nook/agent
[Install]
WantedBy=multi-user.target
UNIT
# What an administrator does for AppArmor, when a script asks for it by making a
# file. In a VM only: a kernel has one set of profiles. The second one stands for what
# keeps a program from making user namespaces, the third one is for containers.
write etc/systemd/system/nook-apparmor.path <<'UNIT'
[Unit]
Description=Waits for a test of AppArmor
ConditionVirtualization=vm
[Path]
PathExists=/var/tmp/nook-apparmor
[Install]
WantedBy=multi-user.target
UNIT
write etc/systemd/system/nook-apparmor.service <<'UNIT'
[Unit]
Description=Loads the AppArmor profile of nook, where it says nook is
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=install -m 755 /nook/nook /usr/bin/nook
ExecStart=cp /usr/bin/nook /usr/bin/nook-refused
ExecStart=apparmor_parser --replace --skip-cache /nook/apparmor /etc/apparmor.test
UNIT
write etc/apparmor.test <<'PROFILE'
abi <abi/4.0>,
profile nook-refused /usr/bin/nook-refused {
  allow all,
  audit deny userns,
}
profile nook-strict flags=(attach_disconnected,mediate_deleted) {
  allow all,
  deny /forbidden/** rw,
}
PROFILE
ln -s /nook/nook "$root/usr/local/bin/nook"
mkdir -p "$root/etc/systemd/user"
ln -s /nook/nook-restart.service "$root/etc/systemd/user/nook-restart.service"
chroot "$root" systemctl -q enable nook-payload.service nook-agent.service nook-apparmor.path
# Nobody logs in at a terminal, nothing is to happen by the clock, and what the
# tests have no use for need not be emulated. sshd starts with the first login.
chroot "$root" systemctl -q mask getty.target console-getty.service docker-registry.service apparmor.service \
	apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer e2scrub_all.timer systemd-tmpfiles-clean.timer \
	e2scrub_reap.service systemd-pstore.service systemd-random-seed.service dev-hugepages.mount \
	sys-kernel-config.mount sys-kernel-debug.mount sys-kernel-tracing.mount \
	modprobe@configfs.service modprobe@drm.service modprobe@efi_pstore.service modprobe@dm_mod.service modprobe@loop.service
chroot "$root" systemctl -q disable ssh.service
chroot "$root" systemctl -q enable ssh.socket
# An emulated machine on a busy host is slow; no timeout may hit it.
printf '[Manager]\nDefaultTimeoutStartSec=15min\nDefaultDeviceTimeoutSec=15min\n' |
	tee "$root/etc/systemd/user.conf" | write etc/systemd/system.conf
chroot "$root" systemctl -q set-default multi-user.target
: >"$root/etc/fstab"
echo 'nameserver 127.0.0.1' | write etc/resolv.conf # there is no network: fail at once
echo nook-test >"$root/etc/hostname"
printf '127.0.0.1 localhost nook-test\n::1 localhost\n' >"$root/etc/hosts"
echo 0123456789abcdef0123456789abcdef >"$root/etc/machine-id" # a first boot would set units up again

# Less to copy, and nothing left for a first boot to make.
rm -rf "$root"/boot/initrd.img* "$root"/initrd.img* "$root"/vmlinuz* "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/usr/share/doc/* \
	"$root"/usr/share/man/* "$root"/usr/share/locale/* "$root"/usr/share/i18n/*
mv "$root"/boot/vmlinuz-* "$root/boot/vmlinuz"
chroot "$root" journalctl --update-catalog
chroot "$root" ldconfig
touch "$root/etc/.updated" "$root/var/.updated"
