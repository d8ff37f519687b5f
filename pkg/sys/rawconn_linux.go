package sys

import (
	"os"
	"syscall"
)

// readRaw is conn.Read, whose error when the file is closed is os.ErrClosed: the
// RawConn of an *os.File passes on one that only package os knows.
func readRaw(conn syscall.RawConn, f func(fd uintptr) (done bool)) error {
	err := conn.Read(f)
	if err != nil && conn.Control(func(uintptr) {}) != nil {
		return os.ErrClosed // Control fails for no other reason
	}
	return err
}
