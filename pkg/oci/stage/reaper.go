package stage

import (
	"errors"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/nook-containers/nook/pkg/sys/kern"
)

// Reap is the stage of a container with an init of ours: pid 1 that runs the
// command as its child, passes signals on to it, collects processes that lost
// their parent, and ends as the command does.
//
// It has been executed with the credentials of the command, from a file that
// nobody can write to, and can't be traced. Its arguments are the number of the
// socket for an error, the count of extra descriptors, and the command: without
// one it waits to be ended. Reap does not return.
func Reap() {
	sock, err := strconv.Atoi(os.Args[1])
	if err == nil {
		err = errors.Join(kern.HideFromPtrace(), kern.DupToCloexec(sock, sock))
	}
	if err != nil {
		os.Exit(StatusFailed) //nolint:forbidigo // the process is this stage
	}
	if len(os.Args) == 3 {
		pause(sock)
	}
	signals := make(chan os.Signal, 64)
	signal.Notify(signals) // from here on none kills us
	pid, err := startCommand()
	if err != nil {
		status := StatusFailed
		if e, ok := errors.AsType[*stepError](err); ok && e.exec != 0 {
			status = e.exec
		}
		report(sock, err)
		os.Exit(status) //nolint:forbidigo // the process is this stage
	}
	kern.Close(sock)
	go forward(signals, pid)
	os.Exit(collect(pid)) //nolint:forbidigo // the process is this stage
}

// startCommand starts the command in a process group of its own, in the
// foreground where there is a terminal, so that Ctrl-C reaches it once.
func startCommand() (int, error) {
	extra, err := strconv.Atoi(os.Args[2])
	if err != nil {
		return 0, at("decode", "arguments of the reaper", err)
	}
	args := os.Args[3:]
	files := make([]uintptr, firstExtra+extra)
	for i := range files {
		files[i] = uintptr(i)
	}
	tty := kern.IsTTY(0)
	attr := &syscall.ProcAttr{
		Env:   os.Environ(), //nolint:forbidigo // it is the command's
		Files: files,
		Sys:   &syscall.SysProcAttr{Setpgid: true, Foreground: tty, Ctty: 0},
	}
	if strings.Contains(args[0], "/") {
		pid, err := syscall.ForkExec(args[0], args, attr)
		if err != nil {
			return 0, execFailed(args[0], err)
		}
		return pid, nil
	}
	return searchAndStart(args, attr)
}

func searchAndStart(args []string, attr *syscall.ProcAttr) (int, error) {
	var denied error
	for dir := range strings.SplitSeq(searchPath(attr.Env), ":") {
		if dir == "" {
			dir = "."
		}
		pid, err := syscall.ForkExec(dir+"/"+args[0], args, attr)
		switch {
		case err == nil:
			return pid, nil
		case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ENOTDIR):
		case errors.Is(err, syscall.EACCES):
			denied = err
		default:
			return 0, execFailed(dir+"/"+args[0], err)
		}
	}
	if denied != nil {
		return 0, execFailed(args[0], denied)
	}
	return 0, &stepError{step: "run", object: args[0], err: errNotInPath, exec: notFound}
}

// forward sends on what is sent to pid 1. SIGCHLD is about our own children,
// SIGURG is how the Go runtime wakes its threads, and the terminal's stops are
// for whoever reads or writes it.
func forward(signals <-chan os.Signal, pid int) {
	for sig := range signals {
		n, ok := sig.(syscall.Signal)
		if !ok || n == syscall.SIGCHLD || n == syscall.SIGURG || n == syscall.SIGTTIN || n == syscall.SIGTTOU {
			continue
		}
		_ = syscall.Kill(pid, n) // it may have ended just now
	}
}

// collect waits for children until the command ends and returns the exit status
// a shell would give: 128 and the signal's number for a killed command.
func collect(command int) int {
	const killed = 128
	for {
		pid, st, err := kern.WaitAny()
		switch {
		case err != nil || pid == 0:
			return StatusFailed
		case pid != command:
		case st.Signaled():
			return killed + int(st.Signal())
		case st.Exited():
			return st.ExitStatus()
		}
	}
}
