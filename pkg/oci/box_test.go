package oci_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/nook-containers/nook/pkg/oci"
)

// box is a bundle with busybox as its root file system.
type box struct {
	t    testing.TB
	cfg  oci.Config
	root string
}

func newBox(t testing.TB, args ...string) *box {
	t.Helper()
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatal("these tests need busybox-static: ", err)
	}
	dir := t.TempDir()
	b := &box{t: t, root: filepath.Join(dir, "rootfs")}
	for _, d := range []string{"bin", "dev", "proc", "sys", "tmp", "etc"} {
		if err := os.MkdirAll(filepath.Join(b.root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(busybox)
	if err != nil {
		t.Fatal(err)
	}
	b.write("bin/busybox", string(data), 0o755)
	for _, name := range []string{"sh", "cat", "ls", "id", "echo", "true", "false", "sleep", "stat", "mount", "mkdir", "readlink", "hostname", "grep", "touch", "test", "kill", "ps", "tty", "stty", "wc", "ulimit", "awk", "ip", "dd", "head"} {
		if err := os.Symlink("busybox", filepath.Join(b.root, "bin", name)); err != nil {
			t.Fatal(err)
		}
	}
	b.cfg = oci.Config{ID: "box", Bundle: dir, Spec: boxSpec(args)}
	return b
}

// sh is newBox with a shell script.
func sh(t testing.TB, script string) *box {
	t.Helper()
	return newBox(t, "/bin/sh", "-c", script)
}

func defaultCaps() []string {
	return []string{
		"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_NET_BIND_SERVICE",
		"CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT",
	}
}

func boxSpec(args []string) *specs.Spec {
	caps := defaultCaps()
	return &specs.Spec{
		Version: specs.Version,
		Root:    &specs.Root{Path: "rootfs"},
		Process: &specs.Process{
			Args: args, Env: []string{"PATH=/bin"}, Cwd: "/",
			Capabilities: &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps},
		},
		Hostname: "box",
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
			{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
			{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
			{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}},
			{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
			{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
			{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"nosuid", "noexec", "nodev", "relatime", "ro"}},
		},
		Linux: &specs.Linux{
			Namespaces: []specs.LinuxNamespace{
				{Type: specs.PIDNamespace},
				{Type: specs.NetworkNamespace},
				{Type: specs.IPCNamespace},
				{Type: specs.UTSNamespace},
				{Type: specs.MountNamespace},
				{Type: specs.CgroupNamespace},
			},
			MaskedPaths:   []string{"/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/scsi", "/sys/firmware", "/no/such/path"},
			ReadonlyPaths: []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
		},
	}
}

func (b *box) write(name, content string, mode os.FileMode) {
	b.t.Helper()
	p := filepath.Join(b.root, name)
	if err := os.WriteFile(p, []byte(content), mode); err != nil {
		b.t.Fatal(err)
	}
	if err := os.Chmod(p, mode); err != nil {
		b.t.Fatal(err)
	}
}

func (b *box) symlink(target, name string) {
	b.t.Helper()
	p := filepath.Join(b.root, name)
	if err := os.RemoveAll(p); err != nil {
		b.t.Fatal(err)
	}
	if err := os.Symlink(target, p); err != nil {
		b.t.Fatal(err)
	}
}

// end stops a container.
func end(c interface {
	Kill() error
	Wait() (syscall.WaitStatus, error)
},
) {
	_ = c.Kill()
	_, _ = c.Wait()
}

func (b *box) mount(m specs.Mount) { b.cfg.Spec.Mounts = append(b.cfg.Spec.Mounts, m) }

// start creates and starts the container; out collects what it prints.
func (b *box) start() (c *oci.Container, out func() string, err error) {
	b.t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		b.t.Fatal(err)
	}
	b.cfg.Stdout, b.cfg.Stderr = w, w
	c, err = oci.Create(b.t.Context(), b.cfg)
	w.Close()
	if err != nil {
		r.Close()
		return nil, nil, err
	}
	var buf bytes.Buffer
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(&buf, r)
		r.Close()
	}()
	out = func() string { <-done; return buf.String() }
	return c, out, c.Start()
}

// run runs the container to its end.
func (b *box) run() (out string, st syscall.WaitStatus, err error) {
	b.t.Helper()
	c, output, err := b.start()
	if c == nil {
		return "", 0, err
	}
	st, werr := c.Wait()
	return output(), st, errors.Join(err, werr)
}

// output runs the container, which must succeed, and returns what it prints.
func (b *box) output() string {
	b.t.Helper()
	out, st, err := b.run()
	if err != nil {
		b.t.Fatalf("%v\n%s", err, out)
	}
	if !st.Exited() || st.ExitStatus() != 0 {
		b.t.Fatalf("status %#x\n%s", st, out)
	}
	return strings.TrimSpace(out)
}
