package sys_test

import (
	"io"
	"os/exec"
	"testing"

	"github.com/nook-containers/nook/pkg/sys"
)

func TestPidfdWait(t *testing.T) {
	cmd := exec.Command("cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p, err := sys.PidfdOpen(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	ended := make(chan error, 1)
	go func() { ended <- sys.PidfdWait(p) }()
	select {
	case err := <-ended:
		t.Fatalf("it lives, yet: %v", err)
	default:
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if _, err := io.WriteString(in, "x"); err == nil {
		t.Error("cat still reads")
	}
}
