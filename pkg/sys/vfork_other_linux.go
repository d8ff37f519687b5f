//go:build !amd64 && !arm64

package sys

import "syscall"

const canVfork = false // needs a few lines of assembly

func vfork(_, _, _, _ uintptr) (pid uintptr, errno syscall.Errno) { return 0, syscall.ENOSYS }
