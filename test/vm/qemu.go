package vm

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
)

const program = "qemu-system-x86_64"

// arguments is the command line of qemu.
func arguments(accel, dir, kernel string) []string {
	args := []string{"-accel", "tcg,thread=multi", "-cpu", "max,-cx16,-la57"} // these two make the emulated kernel unstable
	if accel == "kvm" {
		args = []string{"-accel", "kvm", "-cpu", "host"}
	}
	drive := func(id string) string {
		return "file=" + filepath.Join(dir, id+".img") + ",if=none,format=raw,cache=unsafe,id=" + id
	}
	return append(args, "-smp", "2", "-m", "1024", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-kernel", kernel, "-append", "root=/dev/nvme0n1 rw console=ttyS0 quiet panic=-1 systemd.show_status=1",
		"-serial", "file:"+filepath.Join(dir, "console.log"),
		"-chardev", "socket,id=agent,path="+filepath.Join(dir, "agent"),
		"-device", "virtio-serial-pci", "-device", "virtserialport,chardev=agent,nr=1",
		// Of two disks of one kind the kernel may find either first.
		"-drive", drive("disk"), "-device", "nvme,serial=disk,drive=disk",
		"-drive", drive("payload"), "-device", "virtio-blk-pci,drive=payload")
}

// makeDisks copies the system's disk, and packs the payload into another.
func makeDisks(ctx context.Context, dir, payload string) error {
	const script = `
PATH=$PATH:/usr/sbin:/sbin
cp --sparse=always --reflink=auto "$2/disk/disk.img" "$1/disk.img"
chmod 600 "$1/disk.img"
mkdir "$1/payload"
for f in nook agent script.test nook-restart.service apparmor script lab; do cp -rL "$2/$f" "$1/payload/"; done
size=$(du -sk "$1/payload" | cut -f1)
mke2fs -q -t ext4 -O ^has_journal -d "$1/payload" "$1/payload.img" $((size + size / 5 + 8192))k
rm -rf "$1/payload"`
	if msg, err := exec.CommandContext(ctx, "sh", "-euc", script, "sh", dir, payload).CombinedOutput(); err != nil {
		return fmt.Errorf("make disks: %w: %s", err, msg)
	}
	return nil
}
