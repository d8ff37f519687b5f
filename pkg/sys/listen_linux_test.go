package sys_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/nook-containers/nook/pkg/sys"
)

func TestAcceptEndsWithTheSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	l, err := sys.ListenUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	client, err := sys.DialUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	conn, err := sys.Accept(l)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	end := make(chan error, 1)
	go func() {
		_, err := sys.Accept(l)
		end <- err
	}()
	l.Close()
	if err := <-end; !errors.Is(err, os.ErrClosed) {
		t.Errorf("a wait that was ended: %v, want %v", err, os.ErrClosed)
	}
	if _, err := sys.Accept(l); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a socket closed before: %v, want %v", err, os.ErrClosed)
	}
}

func TestWatchEndsWithItsClose(t *testing.T) {
	d, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	w, err := sys.WatchDir(d)
	if err != nil {
		t.Fatal(err)
	}
	end := make(chan error, 1)
	go func() {
		_, err := w.Wait()
		end <- err
	}()
	w.Close()
	if err := <-end; !errors.Is(err, os.ErrClosed) {
		t.Errorf("a wait that was ended: %v, want %v", err, os.ErrClosed)
	}
}
