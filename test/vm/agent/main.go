// Command agent runs commands in a VM for the tests outside. Package vm has the
// other end of the line.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"

	"github.com/nook-containers/nook/test/machine"
	"github.com/nook-containers/nook/test/vm/wire"
)

func main() {
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, "agent:", err)
		os.Exit(1)
	}
}

// serve answers one request after another, until nobody is at the other end.
func serve() error {
	port, err := os.OpenFile(wire.Port, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	l := &line{enc: json.NewEncoder(port)}
	if err := l.send(wire.Answer{Ready: true}); err != nil {
		return err
	}
	requests := json.NewDecoder(bufio.NewReader(port))
	for {
		var r wire.Request
		if err := requests.Decode(&r); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		args := machine.Session(machine.Command{Args: r.Args, Env: r.Env})
		if r.Poweroff {
			args = []string{"systemctl", "poweroff", "--no-block"}
		}
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Stdout, cmd.Stderr = stream{l, wire.Stdout}, stream{l, wire.Stderr}
		answer := wire.Answer{Done: true}
		err := cmd.Run()
		if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.Exited() {
			answer.Status = exit.ExitCode()
		} else if err != nil {
			answer.Error = err.Error()
		}
		if err := l.send(answer); err != nil {
			return err
		}
	}
}

// line is the port, for both streams.
type line struct {
	mu  sync.Mutex
	enc *json.Encoder
}

func (l *line) send(a wire.Answer) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.enc.Encode(a)
}

type stream struct {
	line *line
	fd   int
}

func (s stream) Write(p []byte) (int, error) {
	return len(p), s.line.send(wire.Answer{Stream: s.fd, Data: p})
}
