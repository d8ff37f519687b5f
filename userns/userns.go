// Package userns plans and enters the user namespace that stands in for root.
package userns

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
)

// FirstFD is the first descriptor of Options.Files in the child; 3 is this
// package's own.
const FirstFD = 4

// Options say what to run in the user namespace.
type Options struct {
	RunDir                string   // where the lock files live; made 0700 if missing
	Args                  []string // argv; Args[0] names the stage
	Env                   []string
	Stdin, Stdout, Stderr *os.File
	Files                 []*os.File // become FirstFD and up
}

// Process is this program, running again as root of the user namespace, with a
// mount namespace of its own.
type Process struct {
	*os.Process
	Notice string // something the user should know once, or ""
}

// Start runs this program again in the user's namespace. The child must call
// Ready before anything else.
func Start(_ context.Context, o Options) (*Process, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	defer w.Close()
	caps := make([]uintptr, 41)
	for i := range caps {
		caps[i] = uintptr(i)
	}
	p, err := os.StartProcess("/proc/self/exe", o.Args, &os.ProcAttr{
		Env:   append(o.Env, "_CONTAINERS_USERNS_CONFIGURED=done", "_CONTAINERS_ROOTLESS_UID="+strconv.Itoa(os.Getuid()), "_CONTAINERS_ROOTLESS_GID="+strconv.Itoa(os.Getgid())),
		Files: append([]*os.File{o.Stdin, o.Stdout, o.Stderr, r}, o.Files...),
		Sys:   &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS, AmbientCaps: caps},
	})
	if err != nil {
		return nil, err
	}
	pid := strconv.Itoa(p.Pid)
	var wg sync.WaitGroup
	var errs [2]error
	for i, m := range [][]string{{"newuidmap", pid, "0", strconv.Itoa(os.Getuid()), "1", "1", "100000", "65536"}, {"newgidmap", pid, "0", strconv.Itoa(os.Getgid()), "1", "1", "100000", "65536"}} {
		wg.Go(func() {
			if out, err := exec.Command(m[0], m[1:]...).CombinedOutput(); err != nil { //nolint:noctx // provisional
				errs[i] = fmt.Errorf("%s: %w: %s", m[0], err, out)
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		return nil, errors.Join(err, p.Kill())
	}
	_, err = w.Write([]byte{1})
	return &Process{Process: p}, err
}

// Ready waits until the ids are mapped.
func Ready() error {
	f := os.NewFile(3, "userns")
	defer f.Close()
	_, err := f.Read(make([]byte, 1))
	return err
}
