package sys_test

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/nook-containers/nook/pkg/sys"
)

// TestMain doubles as the lock holder of TestRecordLock.
func TestMain(m *testing.M) {
	if path := os.Getenv("HOLD_RECORD_LOCK"); path != "" {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err == nil {
			err = sys.SetRecordLock(f, true)
		}
		if err != nil {
			os.Exit(1)
		}
		os.Stdout.WriteString("held\n")
		_, _ = bufio.NewReader(os.Stdin).ReadByte()
		os.Exit(0)
	}
	if os.Getenv("NSFORK_NOFILE") != "" {
		if err := printNofile(); err != nil {
			os.Stdout.WriteString(err.Error())
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestRecordLock(t *testing.T) {
	f, err := os.OpenFile(filepath.Join(t.TempDir(), "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if pid, err := sys.RecordHolder(f); pid != 0 || err != nil {
		t.Fatalf("nobody holds it, yet RecordHolder = %d, %v", pid, err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "HOLD_RECORD_LOCK="+f.Name())
	in, _ := cmd.StdinPipe()
	out, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "held\n" {
		t.Fatalf("holder said %q, %v", line, err)
	}
	if pid, err := sys.RecordHolder(f); pid != cmd.Process.Pid || err != nil {
		t.Errorf("RecordHolder = %d, %v; want %d", pid, err, cmd.Process.Pid)
	}
	if err := sys.SetRecordLock(f, false); !errors.Is(err, sys.ErrLocked) {
		t.Errorf("a shared lock beside an exclusive one: %v, want ErrLocked", err)
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if err := sys.SetRecordLock(f, true); err != nil {
		t.Errorf("the holder is gone: %v", err)
	}
}
