package lab

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

//go:embed machine.sh
var machineScript string

// machineSuite is the Debian release of the machines: its systemd is of 2025.
const machineSuite = "trixie"

// machinePackages is what a machine has beside the smallest Debian. The kernel
// of the cloud images has NVMe and ext4 built in: it boots without an initrd.
func machinePackages() []string {
	return []string{
		"systemd", "systemd-sysv", "udev", "kmod", "dbus", "dbus-user-session", "libpam-systemd", "openssh-server", // a session
		"uidmap", "fuse-overlayfs", "apparmor", // what nook uses
		"busybox-static", "docker-registry", "iproute2", "procps", "gzip", "xz-utils", "zstd", // what scripts use
		"linux-image-cloud-amd64",
	}
}

// Machine makes a directory with the root of a Debian system that boots, as
// root.tar, and its kernel, as vmlinuz. It needs mmdebstrap and a Debian mirror.
func Machine(ctx context.Context) (string, error) {
	if runtime.GOARCH != "amd64" {
		return "", errors.New("the recipe of the machines is for amd64: its kernel package, qemu's arguments")
	}
	packages := strings.Join(machinePackages(), ",")
	return fixture("machine", "1"+machineSuite+packages+machineScript, func(dir string) (err error) {
		// mmdebstrap's root is a sub-id, which cannot enter a private home.
		tmp, err := os.MkdirTemp("/var/tmp", "nook-lab-")
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, RemoveAll(tmp)) }()
		if err := os.Chmod(tmp, 0o755); err != nil {
			return err
		}
		script := filepath.Join(tmp, "machine.sh")
		if err := os.WriteFile(script, []byte(machineScript), 0o755); err != nil {
			return err
		}
		tarball := filepath.Join(dir, "root.tar")
		cmd := exec.CommandContext(ctx, "mmdebstrap", "--quiet", "--variant=minbase", "--format=tar", "--include="+packages,
			"--keyring="+keyring, "--customize-hook="+script+` "$1"`, machineSuite, "-")
		cmd.Dir = tmp
		cmd.Env = append(os.Environ(), "TMPDIR=/var/tmp", "LC_ALL=C")
		var msg strings.Builder
		cmd.Stderr = &msg
		out, err := os.Create(tarball)
		if err != nil {
			return err
		}
		cmd.Stdout = out
		if err := errors.Join(cmd.Run(), out.Close()); err != nil {
			return fmt.Errorf("mmdebstrap: %w\n%s", err, msg.String())
		}
		return tool("tar", "-C", dir, "--strip-components=2", "-xf", tarball, "./boot/vmlinuz")
	})
}

// diskSize is what a VM's disk holds; the file is sparse.
const diskSize = "3G"

// Disk makes a directory with the disk of a VM, disk.img: Machine as a file
// system without partitions. It needs mke2fs.
func Disk(ctx context.Context) (string, error) {
	machine, err := Machine(ctx)
	if err != nil {
		return "", err
	}
	return fixture("disk", "1"+diskSize+filepath.Base(machine), func(dir string) (err error) {
		root, err := os.MkdirTemp("/var/tmp", "nook-lab-")
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, RemoveAll(root)) }()
		// One namespace for both: files keep their owners only in there. The
		// device nodes, which a user cannot make, the kernel makes at boot.
		const pack = `tar -C "$1" --numeric-owner --exclude './dev/*' -xpf "$2" && chmod 755 "$1" && mke2fs -q -t ext4 -E lazy_itable_init=1 -d "$1" "$3" ` + diskSize
		if msg, err := AsRoot("sh", "-c", "PATH=$PATH:/usr/sbin:/sbin; "+pack, "sh", root, filepath.Join(machine, "root.tar"), filepath.Join(dir, "disk.img")); err != nil {
			return fmt.Errorf("make disk: %w: %s", err, msg)
		}
		return nil
	})
}

func tool(argv ...string) error {
	if msg, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w: %s", argv, err, msg)
	}
	return nil
}
