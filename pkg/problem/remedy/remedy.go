// Package remedy holds the commands that hints and "nook doctor" share, so that
// both tell the user the same.
//
// Each is one line of shell that may be run again without harm. In it "sudo " stands
// before the programs that need root; AsRoot takes it away.
package remedy

import (
	"fmt"
	"os"
	"strings"

	"github.com/nook-containers/nook/pkg/problem"
)

// Sysctl is the command that gives the kernel setting name the value, now and at
// every boot (sysctl.d(5)).
func Sysctl(name, value string) string {
	file := "/etc/sysctl.d/99-nook-" + name[strings.LastIndexByte(name, '.')+1:] + ".conf"
	return fmt.Sprintf("echo %s | sudo tee %s && sudo sysctl -p %s", Quote(name+"="+value), file, file)
}

// Module is the command that loads a kernel module now and at every boot
// (modules-load.d(5)).
func Module(name string) string {
	return fmt.Sprintf("echo %s | sudo tee /etc/modules-load.d/nook-%s.conf && sudo modprobe %s", name, name, name)
}

// Delegate is the command that has systemd give its users all controllers of control
// groups (systemd.resource-control(5), Delegate=), from the next start of theirs on.
func Delegate() string {
	return "sudo mkdir -p /etc/systemd/system/user@.service.d && " +
		`printf '[Service]\nDelegate=cpu cpuset io memory pids\n' | sudo tee /etc/systemd/system/user@.service.d/delegate.conf && ` +
		"sudo systemctl daemon-reload"
}

// AsRoot is command for a shell of root, which may lack sudo.
func AsRoot(command string) string { return strings.ReplaceAll(command, "sudo ", "") }

// NeedsRoot reports whether command does something as root.
func NeedsRoot(command string) bool { return strings.Contains(command, "sudo ") }

// Quote writes s as one word of a shell.
func Quote(s string) string {
	plain := s != "" && strings.IndexFunc(s, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./:,@%", r)
	}) < 0
	if plain {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// A Package is a program's, by the distributions' names for it.
type Package struct {
	What                            string // in words
	Debian, Fedora, Arch, Alp, SUSE string // "": the distribution has none
}

// UIDMap has newuidmap and newgidmap.
func UIDMap() Package {
	return Package{"newuidmap and newgidmap (package uidmap, shadow or shadow-utils)", "uidmap", "shadow-utils", "shadow", "shadow-uidmap", "shadow"}
}

// FuseOverlayfs has fuse-overlayfs.
func FuseOverlayfs() Package { return sameName("fuse-overlayfs") }

// sameName is a package that has one name everywhere.
func sameName(name string) Package {
	return Package{"the package " + name, name, name, name, name, name}
}

// Install is the command that installs p, and ok; or what to do in words. distro
// has ID and ID_LIKE of os-release(5), separated by blanks.
func Install(distro string, p Package) (text string, ok bool) {
	for id := range strings.FieldsSeq(distro) {
		command, name := "", ""
		switch id {
		case "debian", "ubuntu":
			command, name = "apt-get install -y", p.Debian
		case "fedora", "rhel", "centos":
			command, name = "dnf install -y", p.Fedora
		case "arch":
			command, name = "pacman -S --noconfirm --needed", p.Arch
		case "alpine":
			command, name = "apk add", p.Alp
		case "suse", "opensuse", "opensuse-leap", "opensuse-tumbleweed", "sles":
			command, name = "zypper --non-interactive install", p.SUSE
		}
		if name != "" {
			return "sudo " + command + " " + name, true
		}
	}
	return "install " + p.What, false
}

// Missing adds to err how p gets onto this machine.
func Missing(err error, p Package) error {
	var text string
	for _, file := range []string{"/etc/os-release", "/usr/lib/os-release"} { // os-release(5): the first one counts
		if data, rerr := os.ReadFile(file); rerr == nil {
			text = string(data)
			break
		}
	}
	return MissingOn(err, Distro(text), p)
}

// MissingOn is Missing on a machine with distro.
func MissingOn(err error, distro string, p Package) error {
	command, ok := Install(distro, p)
	if !ok {
		return problem.Hint(err, "%s", command)
	}
	return problem.Run(err, command)
}

// Distro returns ID and ID_LIKE of os-release(5), as Install takes them.
func Distro(osRelease string) string {
	var ids []string
	for _, key := range []string{"ID=", "ID_LIKE="} {
		for line := range strings.Lines(osRelease) {
			if v, ok := strings.CutPrefix(line, key); ok {
				ids = append(ids, strings.Trim(strings.TrimSpace(v), `"'`))
			}
		}
	}
	return strings.Join(ids, " ")
}
