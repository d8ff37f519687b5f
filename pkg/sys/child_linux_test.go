package sys_test

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/nook-containers/nook/pkg/sys"
)

func TestChild(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c, err := sys.StartChild("/bin/sh", []string{"sh", "-c", "echo $0 $A; pwd; exit 3"}, &os.ProcAttr{Env: []string{"A=b"}, Dir: "/usr", Files: []*os.File{nil, w}})
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if _, err := r.WriteTo(&out); err != nil || out.String() != "sh b\n/usr\n" {
		t.Errorf("it said %q, %v", out.String(), err)
	}
	if st, err := c.Wait(); err != nil || st.ExitStatus() != 3 || sys.ExitText(st) != "exit status 3" {
		t.Errorf("status %#x, %v; want exit status 3", st, err)
	}
	if err := c.Kill(); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("kill after the end: %v", err)
	}
}

func TestChildKilled(t *testing.T) {
	c, err := sys.StartChild("/bin/sleep", []string{"sleep", "1000"}, &os.ProcAttr{})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		if err := c.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
	}()
	if st, err := sys.ChildOf(c.Pid).Wait(); err != nil || sys.ExitText(st) != "signal: terminated" {
		t.Errorf("status %#x, %v; want terminated", st, err)
	}
}

func TestChildMissing(t *testing.T) {
	_, err := sys.StartChild("/no/such", []string{"x"}, &os.ProcAttr{})
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "/no/such") {
		t.Errorf("got %v", err)
	}
}
