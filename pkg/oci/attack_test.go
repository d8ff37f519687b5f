package oci_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/nook-containers/nook/pkg/oci"
)

// canary is a host directory that no container may change or read.
func canary(t *testing.T) (dir string, check func()) {
	t.Helper()
	dir = t.TempDir()
	for name, mode := range map[string]os.FileMode{"secret": 0o644, "target": 0o644} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("canary "+name), mode); err != nil {
			t.Fatal(err)
		}
	}
	sum := func() string {
		var all strings.Builder
		err := filepath.Walk(dir, func(p string, fi os.FileInfo, err error) error {
			if err != nil {
				return err
			}
			fmt.Fprintln(&all, p, fi.Mode(), fi.Size())
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return all.String()
	}
	before := sum()
	return dir, func() {
		t.Helper()
		if after := sum(); after != before {
			t.Errorf("host files changed from\n%sto\n%s", before, after)
		}
	}
}

// refused fails unless the container could not be made, for the reason wanted.
func refused(t *testing.T, b *box, want string) {
	t.Helper()
	out, _, err := b.run()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q\n%s", err, want, out)
	}
}

// CVE-2026-41579, CVE-2026-47766: nodes and links made through a linked /dev.
func TestDevIsALink(t *testing.T) {
	for name, target := range map[string]string{"absolute": "", "relative": "../../../../../../../"} {
		t.Run(name, func(t *testing.T) {
			dir, check := canary(t)
			b := newBox(t, "/bin/true")
			b.symlink(target+dir, "dev")
			refused(t, b, "is a symbolic link")
			b.cfg.Spec.Mounts = nil // nor without a tmpfs for it
			refused(t, b, "/dev: is a symbolic link")
			check()
		})
	}
}

// CVE-2019-19921, CVE-2023-27561.
func TestProcOrSysIsALink(t *testing.T) {
	for _, name := range []string{"proc", "sys"} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t, "/bin/true")
			b.symlink("/tmp", name)
			refused(t, b, "/"+name+": is a symbolic link")
		})
	}
}

// CVE-2019-16884, CVE-2025-52881: something else in the place of procfs takes
// the writes that protect the container.
func TestMountsOverProcAndSys(t *testing.T) {
	for name, m := range map[string]specs.Mount{
		"volume on /proc":             {Destination: "/proc", Type: "bind", Options: []string{"rbind"}},
		"volume on /proc/":            {Destination: "/proc/", Type: "bind", Options: []string{"bind"}},
		"tmpfs on /proc":              {Destination: "/proc", Type: "tmpfs"},
		"volume on /proc/sys":         {Destination: "/proc/sys", Type: "bind", Options: []string{"bind"}},
		"tmpfs on /proc/sys":          {Destination: "/proc/sys/kernel", Type: "tmpfs"},
		"volume on /proc/self/attr":   {Destination: "/proc/self/attr", Type: "bind", Options: []string{"bind"}},
		"volume on /sys":              {Destination: "/sys", Type: "bind", Options: []string{"rbind"}},
		"tmpfs on /sys":               {Destination: "/sys", Type: "tmpfs"},
		"part of procfs on /proc":     {Destination: "/proc", Type: "bind", Source: "/proc/sys", Options: []string{"bind"}},
		"part of sysfs on /sys":       {Destination: "/sys", Type: "bind", Source: "/sys/kernel", Options: []string{"bind"}},
		"volume on the root":          {Destination: "/", Type: "bind", Options: []string{"bind"}},
		"tmpfs on the root by dots":   {Destination: "/tmp/..", Type: "tmpfs"},
		"volume on /proc by its dots": {Destination: "/tmp/../proc", Type: "bind", Options: []string{"bind"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t, "/bin/true")
			if m.Type == "bind" && m.Source == "" {
				m.Source = t.TempDir()
			}
			b.mount(m)
			refused(t, b, "mount: ")
		})
	}
}

// The control of the test above: what tools do mount there.
func TestMountsAllowedInProcAndSys(t *testing.T) {
	file := filepath.Join(t.TempDir(), "uptime")
	if err := os.WriteFile(file, []byte("faked uptime\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	b := sh(t, "cat /proc/uptime; ls /sys/fs/cgroup | wc -l")
	b.mount(specs.Mount{Destination: "/proc/uptime", Type: "bind", Source: file, Options: []string{"bind", "ro"}})
	b.mount(specs.Mount{Destination: "/sys/fs/cgroup", Type: "tmpfs"})
	if got := b.output(); got != "faked uptime\n0" {
		t.Errorf("got %q", got)
	}
}

// CVE-2021-30465, CVE-2024-45310: targets that are links to host paths stay
// within the root, and so does what is made on the way.
func TestMountTargetIsALink(t *testing.T) {
	for name, link := range map[string]string{"absolute": "", "relative": "../../../../../../.."} {
		t.Run(name, func(t *testing.T) {
			dir, check := canary(t)
			b := sh(t, "mount | grep -c ' on "+dir+"/x/y '")
			b.symlink(link+dir, "data")
			if err := os.MkdirAll(filepath.Join(b.root, dir), 0o755); err != nil {
				t.Fatal(err)
			}
			b.mount(specs.Mount{Destination: "/data/x/y", Type: "tmpfs", Source: "tmpfs"})
			if got := b.output(); got != "1" {
				t.Errorf("the mount is not at the link's target inside the root: %q", got)
			}
			check()
		})
	}
}

// What a link points at is made inside the root, where it is missing there,
// whether or not the host has it.
func TestMountTargetIsADanglingLink(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("the file\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, link := range map[string]string{"absolute": "", "relative": "../../../../../../.."} {
		t.Run(name, func(t *testing.T) {
			dir, check := canary(t)
			b := sh(t, "mount | grep -c ' on "+dir+"/new/x '; cat "+dir+"/conf "+dir+"/secret")
			b.symlink(link+dir+"/new", "data")
			b.symlink(link+dir+"/conf", "conf")
			b.symlink(link+dir+"/secret", "secret")
			b.mount(specs.Mount{Destination: "/data/x", Type: "tmpfs", Source: "tmpfs"})
			b.mount(specs.Mount{Destination: "/conf", Type: "bind", Source: file, Options: []string{"bind"}})
			b.mount(specs.Mount{Destination: "/secret", Type: "bind", Source: file, Options: []string{"bind"}})
			if got := b.output(); got != "1\nthe file\nthe file" {
				t.Errorf("the mounts are not at the links' targets inside the root: %q", got)
			}
			check()
		})
	}
}

// CVE-2024-21626: a descriptor of the host as the way to a working directory.
func TestWorkingDirectoryThroughProc(t *testing.T) {
	for fd := 3; fd < 24; fd++ {
		b := newBox(t, "/bin/ls")
		b.cfg.Spec.Process.Cwd = fmt.Sprintf("/proc/self/fd/%d", fd)
		out, _, err := b.run()
		if err == nil {
			t.Fatalf("%s could be entered:\n%s", b.cfg.Spec.Process.Cwd, out)
		}
	}
}

func TestWorkingDirectoryIsMade(t *testing.T) {
	dir, check := canary(t)
	b := sh(t, "pwd")
	b.symlink(dir, "data")
	if err := os.MkdirAll(filepath.Join(b.root, dir), 0o755); err != nil {
		t.Fatal(err)
	}
	b.cfg.Spec.Process.Cwd = "/data/deep/er"
	if got := b.output(); got != dir+"/deep/er" {
		t.Errorf("got %q", got)
	}
	check()
}

// CVE-2024-21626, CVE-2016-9962: what we have open is not the command's.
func TestNoDescriptorLeaks(t *testing.T) {
	leak, err := os.Open("/")
	if err != nil {
		t.Fatal(err)
	}
	defer leak.Close()
	if _, _, e := syscall.Syscall(syscall.SYS_FCNTL, leak.Fd(), syscall.F_SETFD, 0); e != 0 { // inheritable
		t.Fatal(e)
	}
	extra, err := os.Open("/proc/version")
	if err != nil {
		t.Fatal(err)
	}
	defer extra.Close()
	script := "for f in /proc/self/fd/*; do echo ${f##*/} $(readlink $f); done"
	for name, n := range map[string]int{"none wanted": 0, "two wanted": 2} {
		t.Run(name, func(t *testing.T) {
			for _, reaper := range []bool{false, true} {
				b := sh(t, script)
				b.cfg.Reaper = reaper
				for range n {
					b.cfg.ExtraFiles = append(b.cfg.ExtraFiles, extra)
				}
				got := 0
				for line := range strings.Lines(b.output()) {
					fd, to, _ := strings.Cut(strings.TrimSpace(line), " ")
					switch {
					case to == "": // the directory being listed
					case fd <= "2" || to == "/bin/sh":
					case to == "/proc/version":
						got++
					case strings.HasPrefix(to, "/proc/"): // the shell's own
					default:
						t.Errorf("reaper %v: leaked: %s", reaper, line)
					}
				}
				if got != n {
					t.Errorf("reaper %v: %d extra descriptors, want %d", reaper, got, n)
				}
			}
		})
	}
}

// CVE-2022-29162 and others: exactly the capabilities asked for, none that are
// inheritable or ambient, and none at all for another user than root.
func TestCapabilities(t *testing.T) {
	script := "grep Cap /proc/self/status"
	const eleven = "00000000800405fb"
	for name, tc := range map[string]struct {
		uid  uint32
		want string
	}{
		"root": {0, "CapInh:\t0000000000000000\nCapPrm:\t" + eleven + "\nCapEff:\t" + eleven + "\nCapBnd:\t" + eleven + "\nCapAmb:\t0000000000000000"},
		"user": {1000, "CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapBnd:\t" + eleven + "\nCapAmb:\t0000000000000000"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, reaper := range []bool{false, true} {
				b := sh(t, script)
				b.cfg.Reaper = reaper
				b.cfg.Spec.Process.User.UID = tc.uid
				if got := b.output(); got != tc.want {
					t.Errorf("reaper %v: got\n%s\nwant\n%s", reaper, got, tc.want)
				}
			}
		})
	}
}

// CVE-2019-5736: the runtime's program must not be writable from inside, while
// init waits, as the command, or as the reaper.
func TestOwnProgramIsSafe(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	sum := func() [32]byte {
		data, err := os.ReadFile(self)
		if err != nil {
			t.Fatal(err)
		}
		return sha256.Sum256(data)
	}
	before := sum()
	if f, err := os.OpenFile(self, os.O_WRONLY, 0); err == nil {
		f.Close()
		t.Fatal("the test is void: its program could be written to in spite of running")
	}
	b := sh(t, "for i in 1 2 3; do for p in /proc/[0-9]*/exe; do echo x >> $p; done; done 2>&1; cat /proc/1/exe | head -c 4; echo end")
	b.cfg.Reaper = true
	if out := b.output(); !strings.HasSuffix(out, "end") || strings.Contains(out, "ELF") {
		t.Errorf("pid 1's program can be read:\n%q", out)
	}
	// The classic: the runtime executes itself as a script's interpreter.
	script := newBox(t, "/entry")
	script.write("entry", "#!/proc/self/exe\n", 0o755)
	script.run() //nolint:errcheck // whatever it does, the program stays as it is
	if sum() != before {
		t.Fatal("the program was overwritten")
	}
	c, err := oci.Create(t.Context(), newBox(t, "/bin/true").cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer end(c)
	// A writer would now get ETXTBSY, but only as long as the process lives.
	exe := fmt.Sprintf("/proc/%d/exe", c.PID)
	var st syscall.Statfs_t
	if err := syscall.Statfs(exe, &st); err != nil {
		t.Fatal(err)
	}
	if st.Flags&syscall.MS_RDONLY == 0 {
		t.Errorf("%s is not on a read-only mount", exe)
	}
}

// CVE-2025-31133: masked paths are what they should be, and read-only ones too.
func TestMaskedAndReadonlyPaths(t *testing.T) {
	b := sh(t, `stat -c '%n %F %t:%T' /proc/keys /proc/kcore 2>/dev/null
ls -A /sys/firmware /proc/acpi
touch /sys/firmware/x 2>&1
echo 1 2>&1 > /proc/sys/kernel/msgmax
cat /secret; echo x > /secret`)
	b.write("secret", "hidden", 0o644)
	b.cfg.Spec.Linux.MaskedPaths = append(b.cfg.Spec.Linux.MaskedPaths, "/secret")
	out, _, err := b.run()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"/proc/keys character special file 1:3",
		"touch: /sys/firmware/x: Read-only file system",
		"can't create /proc/sys/kernel/msgmax: Read-only file system",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
	if strings.Contains(out, "hidden") {
		t.Errorf("a masked file can be read:\n%s", out)
	}
	if data, err := os.ReadFile(filepath.Join(b.root, "secret")); err != nil || string(data) != "hidden" {
		t.Errorf("the file behind the mask is now %q, %v", data, err)
	}
}

// CVE-2025-52565: /dev/console as a way to a host file.
func TestConsoleIsALink(t *testing.T) {
	dir, check := canary(t)
	b := newBox(t, "/bin/true")
	b.cfg.Spec.Process.Terminal = true
	b.cfg.Spec.Mounts = b.cfg.Spec.Mounts[:1] // the image's own /dev
	b.mount(specs.Mount{Destination: "/dev/pts", Type: "devpts", Options: []string{"newinstance", "ptmxmode=0666"}})
	b.symlink(dir+"/target", "dev/console")
	refused(t, b, "/dev/console")
	check()
}

// A root must not be left by chroot tricks: it is the root of the namespace.
func TestNothingOfTheHostIsMounted(t *testing.T) {
	out := sh(t, "cat /proc/self/mountinfo").output()
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		if f[4] == "/" && f[3] == "/" {
			t.Errorf("the host's root is mounted: %s", line)
		}
	}
	if !strings.Contains(out, " / / ") && !strings.Contains(out, "rootfs / ") {
		t.Errorf("no root in\n%s", out)
	}
}
