package oci

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/nook-containers/nook/pkg/oci/plan"
	"github.com/nook-containers/nook/pkg/sys/kern"
)

// errGone is init's end before it said anything, an answer only to SIGKILL.
var errGone = errors.New("container init: ended without a word")

func (c *Container) send(m plan.Message, files ...*os.File) error {
	return sendMessage(c.sync, m, files...)
}

func (c *Container) recv() (plan.Message, []int, error) { return recvMessage(c.sync) }

func sendMessage(sock int, m plan.Message, files ...*os.File) error {
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	var fds []int
	for _, f := range files {
		fds = append(fds, int(f.Fd()))
	}
	if err := kern.Send(sock, data, fds...); err != nil {
		return fmt.Errorf("send to container init: %w", err)
	}
	return nil
}

// recvMessage returns the next message. errGone stands for a closed socket.
func recvMessage(sock int) (plan.Message, []int, error) {
	buf := make([]byte, plan.MaxMessage)
	n, fds, err := kern.Recv(sock, buf)
	if err != nil {
		return plan.Message{}, nil, fmt.Errorf("receive from container init: %w", err)
	}
	if n == 0 {
		return plan.Message{}, nil, errGone
	}
	var m plan.Message
	if err := json.Unmarshal(buf[:n], &m); err != nil {
		return plan.Message{}, nil, fmt.Errorf("receive from container init: %w", err)
	}
	return m, fds, nil
}

// start says go over a socket to init and waits for execve to close it.
func start(sock int) error {
	if err := sendMessage(sock, plan.Message{Kind: plan.Go}); err != nil {
		return err
	}
	m, _, err := recvMessage(sock)
	switch {
	case errors.Is(err, errGone):
		return nil
	case err != nil:
		return err
	}
	return failure(m)
}
