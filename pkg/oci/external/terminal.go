package external

import (
	"errors"
	"fmt"
	"os"

	"github.com/nook-containers/nook/pkg/sys/kern"
)

// terminal is the socket on which the runtime sends the terminal's master
// (runc's docs/terminals.md).
type terminal struct {
	dir  *os.File
	sock int
	path string
}

func listenTerminal(dir string) (*terminal, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	// A socket's address has room for 107 bytes, fewer than dir may have.
	t := &terminal{dir: d, path: fmt.Sprintf("/proc/%d/fd/%d/tty", os.Getpid(), d.Fd())}
	if t.sock, err = kern.ListenStream(t.path); err != nil {
		d.Close()
		return nil, fmt.Errorf("listen for the terminal: %w", err)
	}
	return t, nil
}

func (t *terminal) close() {
	kern.Close(t.sock)
	t.dir.Close()
}

// receive takes the terminal. The runtime has ended successfully, so it has
// connected and sent.
func (t *terminal) receive() (*os.File, error) {
	conn, err := kern.Accept(t.sock)
	if err != nil {
		return nil, fmt.Errorf("receive terminal: %w", err)
	}
	defer kern.Close(conn)
	const maxName = 4096
	_, fds, err := kern.Recv(conn, make([]byte, maxName))
	if err != nil {
		return nil, fmt.Errorf("receive terminal: %w", err)
	}
	if len(fds) == 0 {
		return nil, errors.New("receive terminal: the runtime sent none")
	}
	for _, fd := range fds[1:] {
		kern.Close(fd)
	}
	return os.NewFile(uintptr(fds[0]), "/dev/ptmx"), nil
}
