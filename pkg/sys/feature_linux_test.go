package sys_test

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/pkg/sys/systest"
)

func TestCheckNamesTheRelease(t *testing.T) {
	f := &sys.Feature{Name: "teleport(2)", Since: "9.9", Try: func() error { return unix.ENOSYS }}
	err := f.Check()
	if !errors.Is(err, sys.ErrUnsupported) {
		t.Fatalf("got %v, want ErrUnsupported", err)
	}
	if got, want := err.Error(), "teleport(2) (needs Linux 9.9): not supported on this host"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestOpenat2(t *testing.T) { systest.SkipUnless(t, sys.Openat2) }
