package oci_test

import (
	"errors"
	"syscall"
	"testing"

	"github.com/nook-containers/nook/pkg/oci"
)

func TestRun(t *testing.T) {
	b := sh(t, "echo hello; id -u; hostname; echo $$; exit 3")
	out, st, err := b.run()
	if err != nil {
		t.Fatal(err)
	}
	if want := "hello\n0\nbox\n1\n"; out != want {
		t.Errorf("got %q, want %q", out, want)
	}
	if st.ExitStatus() != 3 {
		t.Errorf("exit status %d, want 3", st.ExitStatus())
	}
}

// The command must not run before Start, and must be gone after Kill.
func TestStartAndKill(t *testing.T) {
	b := sh(t, "echo started; sleep 1000")
	c, err := oci.Create(t.Context(), b.cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(c.PID, 0); err != nil {
		t.Errorf("init is not there before Start: %v", err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err == nil {
		t.Error("a second Start succeeded")
	}
	if err := c.Kill(); err != nil {
		t.Fatal(err)
	}
	st, err := c.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if !st.Signaled() || st.Signal() != syscall.SIGKILL {
		t.Errorf("status %#x, want killed", st)
	}
	if err := syscall.Kill(c.PID, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("init still there: %v", err)
	}
}

func TestExecErrors(t *testing.T) {
	for name, tc := range map[string]struct {
		args []string
		cwd  string
		code int
	}{
		"not in PATH":             {[]string{"no-such-command"}, "/", 127},
		"no such file":            {[]string{"/no/such/command"}, "/", 127},
		"not executable":          {[]string{"/etc/plain"}, "/", 126},
		"not executable, in PATH": {[]string{"plain"}, "/", 126},
		"a directory":             {[]string{"/etc"}, "/", 126},
		"no program":              {[]string{"/etc/text"}, "/", 126},
		"empty name":              {[]string{""}, "/", 127},
		"cwd is a file":           {[]string{"/bin/true"}, "/etc/plain", 126},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t, tc.args...)
			b.write("etc/plain", "x", 0o644)
			b.write("bin/plain", "x", 0o644)
			b.write("etc/text", "just text", 0o755)
			b.cfg.Spec.Process.Cwd = tc.cwd
			_, _, err := b.run()
			e, ok := errors.AsType[*oci.ExecError](err)
			if !ok {
				t.Fatalf("got %v, want an ExecError", err)
			}
			if e.Code != tc.code {
				t.Errorf("%v: code %d, want %d", err, e.Code, tc.code)
			}
		})
	}
}

// BenchmarkRun is a whole container around "true", without an engine.
func BenchmarkRun(b *testing.B) {
	x := newBox(b, "/bin/true")
	x.cfg.ID = "bench"
	for b.Loop() {
		c, err := oci.Create(b.Context(), x.cfg)
		if err != nil {
			b.Fatal(err)
		}
		if err := c.Start(); err != nil {
			b.Fatal(err)
		}
		if _, err := c.Wait(); err != nil {
			b.Fatal(err)
		}
	}
}
