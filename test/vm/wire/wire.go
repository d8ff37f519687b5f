// Package wire is what a VM and the tests outside say to each other on a serial
// line: JSON values, one request at a time.
package wire

// Port is the line, inside.
const Port = "/dev/vport0p1"

// Request asks for a command in a session of the user, or to power off.
type Request struct {
	Args     []string `json:"args,omitempty"`
	Env      []string `json:"env,omitempty"`
	Poweroff bool     `json:"poweroff,omitempty"`
}

// Streams of a command.
const (
	Stdout = 1
	Stderr = 2
)

// Answer is one of: the agent is there, a piece of a stream, a command's end.
type Answer struct {
	Ready  bool   `json:"ready,omitempty"`
	Stream int    `json:"stream,omitempty"`
	Data   []byte `json:"data,omitempty"`
	Done   bool   `json:"done,omitempty"`
	Status int    `json:"status,omitempty"` // of a command that is done
	Error  string `json:"error,omitempty"`  // why it has no status
}
