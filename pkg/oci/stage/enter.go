package stage

import (
	"encoding/json"
	"errors"
	"syscall"

	"github.com/nook-containers/nook/pkg/oci/plan"
	"github.com/nook-containers/nook/pkg/sys/kern"
)

// Enter is the stage of a command that joins a running container. The caller has
// locked the thread. It does not return.
//
// Unlike init it is born among processes that nobody trusts: they see it in
// their /proc and can signal it. So it can't be traced before anything is sent to
// it, builds nothing, and uses no file of the container but those that are
// checked: the terminal's multiplexer, and passwd and group as bytes for the
// parent. What it runs from is a read-only mount or a sealed copy.
//
// A process of the container that holds CAP_SYS_PTRACE may still trace it, and
// gain all capabilities in the container's namespaces: no setting of the kernel
// takes that from CAP_SYS_PTRACE.
func Enter() {
	s := newSetup()
	s.guest = true
	s.end(s.run(
		s.hide, s.read, s.enter, s.kernelNames, s.openConsole, s.limits, s.become, s.wait,
	))
}

func (s *setup) hide() error {
	if err := becomeRoot(); err != nil { // ids of the container's root, where that is someone else
		return err
	}
	return at("set", "not dumpable", kern.HideFromPtrace())
}

// openConsole gives the command a terminal of its own in the container's devpts.
func (s *setup) openConsole() error {
	if !s.Process.Terminal {
		return nil
	}
	root, err := kern.Open("/", dirPath, 0)
	if err != nil {
		return at("open", "/", err)
	}
	s.rootFD = root
	return s.openTerminal()
}

// sendAccounts answers with the container's passwd and group: the parent, in
// another user namespace, may not be able to read them by itself.
func (s *setup) sendAccounts() error {
	if !s.guest {
		return at("wait", "for the parent", errors.New("no accounts before there is a root"))
	}
	var fds []int
	defer func() {
		for _, fd := range fds {
			kern.Close(fd)
		}
	}()
	for _, name := range []string{"etc/passwd", "etc/group"} {
		data, err := readGuest(name)
		if err != nil {
			return at("read", "/"+name, err)
		}
		fd, err := kern.Memfd(name, data)
		if err != nil {
			return at("copy", "/"+name, err)
		}
		fds = append(fds, fd)
	}
	msg, err := json.Marshal(plan.Message{Kind: plan.Accounts})
	if err != nil {
		return err
	}
	return at("tell", "parent", kern.Send(s.sync, msg, fds...))
}

// readGuest reads a regular file; a missing one is empty.
func readGuest(name string) ([]byte, error) {
	root, err := kern.Open("/", dirPath, 0)
	if err != nil {
		return nil, err
	}
	defer kern.Close(root)
	// Whatever is there must not make us wait, nor become our terminal.
	fd, err := kern.OpenIn(root, name, syscall.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, kern.InRoot)
	if errors.Is(err, syscall.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer kern.Close(fd)
	st, err := kern.Stat(fd)
	if err != nil {
		return nil, err
	}
	if !kern.IsRegular(st.Mode) {
		return nil, errors.New("not a regular file")
	}
	data, err := kern.ReadAll(fd, plan.MaxAccounts)
	if errors.Is(err, syscall.EFBIG) {
		err = errors.New("larger than 16 MiB")
	}
	return data, err
}
