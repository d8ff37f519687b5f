package container

import (
	"fmt"
	"os/user"
	"slices"
	"strconv"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/attach"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/pkg/hostnet"
)

// nameHolder says in exit who has the host's port that was taken, as far as that
// can be found out.
func nameHolder(f *cmdutil.Factory, exit *attach.Exit) {
	b := exit.Busy
	if b == nil {
		return
	}
	const orOther = "or publish another port"
	if name := publisher(f, *b); name != "" {
		exit.Error = fmt.Sprintf("publish %d/%s: the port is in use by container %s", b.Port, b.Proto, name)
		exit.Hint = "run: nook stop " + name + "; " + orOther
		return
	}
	h, ok := hostnet.FindHolder(b.Proto, b.Port)
	switch {
	case !ok:
	case h.PID != 0:
		exit.Error = fmt.Sprintf("publish %d/%s: the port is in use by %s (process %d)", b.Port, b.Proto, h.Name, h.PID)
		exit.Hint = fmt.Sprintf("run: kill %d; %s", h.PID, orOther)
	default:
		exit.Error = fmt.Sprintf("publish %d/%s: the port is in use by a process of user %s", b.Port, b.Proto, userName(h.UID))
	}
}

// publisher is the container that runs and publishes a port; empty: none does.
func publisher(f *cmdutil.Factory, b attach.BusyPort) string {
	s, err := f.State()
	if err != nil {
		return ""
	}
	all, _ := s.List() // one that cannot be read is not named
	for _, c := range all {
		st, err := c.Status()
		if err == nil && st.Alive() && slices.ContainsFunc(st.Run.Ports, func(p spec.Port) bool {
			return p.HostPort == b.Port && p.Proto == b.Proto
		}) {
			return c.Name
		}
	}
	return ""
}

func userName(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return strconv.Itoa(uid)
}
