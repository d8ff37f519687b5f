// Package machine runs the end-to-end scripts in a system that is booted for
// them: where they need a login session, a user manager, a journal, cgroup
// controllers or a reboot, and the host may have none of it.
//
// Theory of operation. A payload is a directory with all that a machine needs
// from outside: the program, the compiled tests, the scripts and their images.
// The machine shows it at Dir. Commands run there in login sessions of their own,
// as an ordinary user, and end with the status they ended with. Package sandbox
// boots a machine in namespaces, package vm boots one in qemu.
package machine

import (
	"context"
	"io"
)

// Dir is where a machine shows the payload.
const Dir = "/nook"

// User is whose sessions commands run in.
const User = "nook-test"

// Command is a program with arguments, and where what it writes goes. Its
// standard input is empty.
type Command struct {
	Args []string
	Env  []string // KEY=VALUE, beside what a login sets
	Out  io.Writer
	Err  io.Writer
}

// Machine is a system that has booted.
type Machine interface {
	// Run runs c in a new login session and returns its exit status.
	Run(ctx context.Context, c Command) (int, error)
	// Reboot ends the system in its own way and boots it again with what it
	// has on disk: a sandbox shuts down, a VM loses its power.
	Reboot(ctx context.Context) error
	// Renew boots another machine in place of one that ended, which knows nothing of it.
	Renew(ctx context.Context) error
	// Close shuts the system down and removes it. An error says that it did
	// not end by itself, or left something.
	Close() error
	// Console is what the system wrote while it booted and ran.
	Console() string
}

// Session is the command that, as root in a machine, runs c as the user in a
// login session. It passes streams and exit status through.
func Session(c Command) []string {
	args := []string{
		"systemd-run", "--quiet", "--wait", "--pipe", "--collect", "--service-type=exec", "--working-directory=" + Dir,
		"--property=User=" + User, "--property=PAMName=login", "--property=TimeoutStopSec=10s",
	}
	for _, e := range c.Env {
		args = append(args, "--setenv="+e)
	}
	return append(append(args, "--"), c.Args...)
}
