#!/bin/sh
# Installs programs into a Debian root one after another and writes what each
# step added as a tar layer. mmdebstrap runs it as its customize hook:
#   layers.sh OUT ROOT
# Steps build on each other, as the layers of an image do.
set -eu
out=$1 root=$2

# No service may start while packages are being set up.
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
# "everything" later shows that an image can take files of lower layers away.
mkdir -p "$root/srv/lower" && echo below >"$root/srv/lower/gone" && echo below >"$root/srv/lower/kept"

# What belongs to the running system or to apt's caches is not part of an image.
list() {
	(cd "$root" && find . -mindepth 1 \
		\( -path ./dev -o -path ./proc -o -path ./sys -o -path ./tmp -o -path ./run \
		-o -path ./var/cache/apt -o -path ./var/lib/apt/lists -o -path ./usr/sbin/policy-rc.d \
		-o -path "./var/log/*" ! -type d -o -path ./etc/hostname -o -path ./etc/resolv.conf \) -prune -o "$@" -print0)
}
layer() { # NAME [find tests]
	name=$1
	shift
	list "$@" | tar -C "$root" --null --no-recursion --numeric-owner -T - -cf "$out/$name.tar"
}
install() {
	touch "$out/mark"
	chroot "$root" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >&2
}

layer debian -true
# An empty directory for each mount point, which list left out.
tar -C "$root" --no-recursion --numeric-owner -rf "$out/debian.tar" ./dev ./proc ./sys ./tmp ./run

install python3
layer python3 -cnewer "$out/mark"
install redis-server
layer redis -cnewer "$out/mark"
install nginx-light
layer nginx -cnewer "$out/mark"
mkdir -p "$root/etc/postgresql-common"
echo 'create_main_cluster = false' >"$root/etc/postgresql-common/createcluster.conf"
install postgresql
layer postgres -cnewer "$out/mark"

# The last layer: a new page, a deleted file and a replaced directory.
mkdir -p "$out/top/srv/lower" "$out/top/usr/share"
echo 'hello from the lab' >"$out/top/srv/index.html"
: >"$out/top/srv/lower/.wh.gone"
mkdir -p "$out/top/usr/share/doc"
: >"$out/top/usr/share/doc/.wh..wh..opq"
echo 'replaced' >"$out/top/usr/share/doc/README"
tar -C "$out/top" --numeric-owner --owner=0 --group=0 -cf "$out/everything.tar" srv usr
rm -rf "$out/top" "$out/mark"
chmod 644 "$out"/*.tar
