package sys_test

import (
	"os"
	"testing"

	"github.com/nook-containers/nook/pkg/sys"
)

func TestInherited(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fd := int(f.Fd())
	if _, err := sys.Inherited(fd); err == nil {
		t.Error("a file that this process opened")
	}
	if err := sys.SetCloseOnExec(fd, false); err != nil {
		t.Fatal(err)
	}
	dup, err := sys.Inherited(fd)
	if err != nil {
		t.Fatal(err)
	}
	if err := dup.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("still open"); err != nil {
		t.Errorf("the descriptor itself: %v", err)
	}
}
