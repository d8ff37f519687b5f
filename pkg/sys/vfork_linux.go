//go:build amd64 || arm64

package sys

import "syscall"

const canVfork = true

// vfork is a system call that clones with CLONE_VM and CLONE_VFORK. It returns
// twice on one stack, in the child first, which may therefore not return from the
// caller; the return address is kept where the child can't reach it.
//
//go:noescape
func vfork(nr, a1, a2, a3 uintptr) (pid uintptr, errno syscall.Errno)
