package config

import (
	"fmt"
	"os"
	"strconv"
)

// mostSockets is how many are believed.
const mostSockets = 1024

// Sockets are descriptors that a service manager, systemd for example, opened for this
// process: those from 3 on (sd_listen_fds(3)).
type Sockets struct {
	Count int    `json:"count,omitempty"`
	Names string `json:"names,omitempty"` // $LISTEN_FDNAMES
}

// HandedDown returns the descriptors that were opened for this process, none if for
// another or nobody. Whether they are open nobody has looked.
func HandedDown() (Sockets, error) {
	if !AreHandedDown() {
		return Sockets{}, nil
	}
	text := os.Getenv("LISTEN_FDS")
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > mostSockets {
		return Sockets{}, fmt.Errorf("$LISTEN_FDS %q: want a number from 0 to %d", text, mostSockets)
	}
	return Sockets{Count: n, Names: os.Getenv("LISTEN_FDNAMES")}, nil
}

// AreHandedDown reports whether descriptors were opened for this process.
func AreHandedDown() bool { return os.Getenv("LISTEN_PID") == strconv.Itoa(os.Getpid()) }
