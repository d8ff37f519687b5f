package ocispec

import (
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Exec asks for one more command in a running container.
type Exec struct {
	Args       []string
	Env        []string // beside the container's
	WorkDir    string   // absolute; empty: the container's
	User       *User    // nil: the container's
	TTY        bool
	Privileged bool // all capabilities, in the container's user namespace
}

// ExecProcess computes the process for x in the container of in, whose own
// process, as it was started, is base. What x does not say is the container's.
func ExecProcess(base *specs.Process, in Input, x Exec) (*specs.Process, error) {
	p := *base
	p.Args, p.Terminal, p.ConsoleSize = x.Args, x.TTY, nil
	if x.WorkDir != "" {
		p.Cwd = x.WorkDir
	}
	var own []string
	if x.TTY && !hasEnv(base.Env, "TERM") {
		own = append(own, "TERM=xterm")
	}
	if x.User != nil {
		p.User.UID, p.User.GID, p.User.AdditionalGids = x.User.UID, x.User.GID, x.User.Groups
		// Unless image or user chose one, HOME follows the user.
		if x.User.Home != "" && !hasEnv(in.Image.Env, "HOME") && !hasEnv(in.Spec.Env, "HOME") {
			own = append(own, "HOME="+x.User.Home)
		}
	}
	p.Env = mergeEnv(base.Env, own, x.Env)
	in.User = User{UID: p.User.UID}
	if x.Privileged {
		in.Spec.CapAdd, in.Spec.CapDrop = []string{"ALL"}, nil
	}
	var err error
	p.Capabilities, err = buildCaps(in)
	return &p, err
}

func hasEnv(env []string, name string) bool {
	return slices.ContainsFunc(env, func(e string) bool { return strings.HasPrefix(e, name+"=") })
}
