package seed

import (
	"fmt"
	"io"
	"os"

	"github.com/nook-containers/nook/pkg/sys/kern"
)

// SelfPath is this program, whatever its name is by now (proc(5)).
const SelfPath = "/proc/self/exe"

// selfExe opens this program in a way that keeps /proc/PID/exe of a process
// running from it unwritable, whoever owns the file (CVE-2019-5736): on a
// detached read-only mount, or else as a sealed copy in memory, which costs
// reading the file.
func selfExe() (*os.File, error) {
	if f, err := mountedSelf(); err == nil {
		return f, nil
	}
	return Copy()
}

// mountedSelf fails where this process may not mount, or where its program can't
// be reached by name in its mount namespace.
func mountedSelf() (*os.File, error) {
	fd, err := kern.CloneTree(kern.AtCwd, SelfPath)
	if err != nil { // started in another mount namespace: go by name, and compare
		if fd, err = cloneByName(); err != nil {
			return nil, err
		}
	}
	if err := kern.SetAttr(fd, kern.Attr{Set: kern.AttrReadonly | kern.AttrNosuid | kern.AttrNodev}); err != nil {
		kern.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), SelfPath), nil
}

func cloneByName() (int, error) {
	name, err := os.Readlink(SelfPath)
	if err != nil {
		return -1, err
	}
	fd, err := kern.CloneTree(kern.AtCwd, name)
	if err != nil {
		return -1, err
	}
	self, err := os.Stat(SelfPath)
	if err == nil {
		var got os.FileInfo
		if got, err = os.Stat(fmt.Sprintf("/proc/self/fd/%d", fd)); err == nil && !os.SameFile(self, got) {
			err = fmt.Errorf("%s is another program now", name)
		}
	}
	if err != nil {
		kern.Close(fd)
		return -1, err
	}
	return fd, nil
}

// Copy is a sealed copy of this program in memory.
func Copy() (*os.File, error) {
	exe, err := os.Open(SelfPath)
	if err != nil {
		return nil, fmt.Errorf("open own program: %w", err)
	}
	defer exe.Close()
	fd, err := kern.Memfd("nook", nil)
	if err != nil {
		return nil, fmt.Errorf("copy own program: %w", err)
	}
	f := os.NewFile(uintptr(fd), "nook")
	defer f.Close() // execve refuses a file that is open for writing
	if _, err = io.Copy(f, exe); err == nil {
		err = kern.Seal(fd)
	}
	if err != nil {
		return nil, fmt.Errorf("copy own program: %w", err)
	}
	return os.Open(fmt.Sprintf("/proc/self/fd/%d", fd))
}
