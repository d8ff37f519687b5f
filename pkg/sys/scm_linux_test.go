package sys_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nook-containers/nook/pkg/sys"
)

func TestSendFDs(t *testing.T) {
	a, b, err := sys.SocketPair()
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := sys.SendFDs(a, []byte("hi"), int(w.Fd())); err != nil {
		t.Fatal(err)
	}
	w.Close()
	a.Close()
	buf := make([]byte, 8)
	n, fds, err := sys.RecvFDs(int(b.Fd()), buf, 1)
	if err != nil || string(buf[:n]) != "hi" || len(fds) != 1 {
		t.Fatalf("RecvFDs = %q, %v, %v", buf[:n], fds, err)
	}
	if flags, err := unix.FcntlInt(uintptr(fds[0]), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("descriptor flags %#x, %v: want close-on-exec", flags, err)
	}
	if _, err := unix.Write(fds[0], []byte("x")); err != nil {
		t.Errorf("the descriptor that came is not the pipe: %v", err)
	}
	if err := sys.CloseFD(fds[0]); err != nil {
		t.Error(err)
	}
	if _, _, err := sys.RecvFDs(int(b.Fd()), buf, 1); !errors.Is(err, io.EOF) {
		t.Errorf("the other side is gone: got %v, want EOF", err)
	}
}

func TestMoveFDAndIsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	from, err := unix.Open(path, unix.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	to, err := unix.Open(os.DevNull, unix.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(to)
	if sys.IsFile(to, path) {
		t.Error("/dev/null taken for the file")
	}
	if err := sys.MoveFD(from, to); err != nil {
		t.Fatal(err)
	}
	if !sys.IsFile(to, path) {
		t.Error("the descriptor did not move")
	}
	if _, err := unix.FcntlInt(uintptr(from), unix.F_GETFD, 0); !errors.Is(err, unix.EBADF) {
		t.Errorf("the old number is still open: %v", err)
	}
	if err := sys.ShareRecordLock(to); err != nil {
		t.Error(err)
	}
}
