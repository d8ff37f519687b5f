package kern

import "golang.org/x/sys/unix"

// BlockSignal has sig wait where it comes to the calling thread, and to the
// program that this thread turns into with execve(2).
func BlockSignal(sig unix.Signal) error {
	n := uint(sig) - 1
	var set unix.Sigset_t
	set.Val[n/64] = 1 << (n % 64)
	return unix.PthreadSigmask(unix.SIG_BLOCK, &set, nil)
}

// UnblockSignals gives the calling thread the mask that programs expect to start
// with, which lets everything through.
func UnblockSignals() error {
	return unix.PthreadSigmask(unix.SIG_SETMASK, new(unix.Sigset_t), nil)
}
