// Package member is what a container's monitor and the engine know of the process
// of a network (package netd): how to reach it, to start it, and what to say.
//
// # Theory of operation
//
// Each network in use has a directory with three files:
//
//	lock    flock(2): who may look whether the process is there and start it, and
//	        the process itself when it wants to end
//	socket  where it listens, SOCK_SEQPACKET
//	log     what the last process wrote to its standard error
//
// Connect tries the socket. Where nobody listens it takes the lock, tries again,
// and else makes the socket and starts the process with it: the caller's own
// connection already waits in there while the process boots, and so do those of
// all others. A process that wants to end takes the lock too, and ends only if
// nobody waits. So there is never more than one, and nobody is refused.
//
// A connection on which a container joined is its membership: when it closes,
// by whatever death, the container's interface, ports and names are gone. With the
// answer to a join comes the network's namespace. The member keeps it open, so it
// outlives the process. If the process dies the member sees the end of the
// connection, connects anew, which starts the next one, and joins again with the
// namespace in hand: bridge and interfaces are still there.
//
// The package is in memory as long as a container runs, and imports little.
package member

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/pkg/sys"
)

// Version is that of the messages. Fields that a reader does not know are left
// out; an operation that it does not know is ErrOldProcess. A process serves this
// version and every later one, whose writers must not count on more than that: a
// program that was upgraded talks to a process that was not.
const Version = 1

// Operations.
const (
	Prepare   = "prepare"   // start the stack, for a Join to come
	Join      = "join"      // begin a membership; files: the container's network namespace, then that of the network where it is known
	Leave     = "leave"     // end it, with an answer
	Publish   = "publish"   // add Ports
	Unpublish = "unpublish" // remove Ports, as the answer to Join or Publish had them
	Show      = "show"      // the network as it is; needs no membership
	Namespace = "namespace" // Prepare, and the answer has the network's namespace with it
)

// MaxMessage bounds a message, in bytes.
const MaxMessage = 128 << 10

// Request is a message to the process.
type Request struct {
	Version int           `json:"version"`
	Op      string        `json:"op"`
	Network *spec.Network `json:"network,omitempty"` // Prepare, Namespace, Join
	Store   Store         `json:"store,omitzero"`    // Prepare, Namespace, Join
	Member  *Member       `json:"member,omitempty"`  // Join
	Of      string        `json:"of,omitempty"`      // Publish, Unpublish and Leave of a connection that did not join: the member's id
	Ports   []spec.Port   `json:"ports,omitempty"`
}

// Store is where containers are kept (state.Store): the process finds their names
// there.
type Store struct {
	Dir   string `json:"dir"`
	Run   string `json:"run"`
	Realm string `json:"realm,omitempty"`
}

// Member is a container in a network.
type Member struct {
	ID        string    `json:"id"` // of the container
	Name      string    `json:"name"`
	PID       int       `json:"pid"` // of its monitor
	IPv4      spec.Addr `json:"ipv4,omitzero"`
	IPv6      spec.Addr `json:"ipv6,omitzero"`
	MAC       spec.MAC  `json:"mac,omitzero"`
	Interface string    `json:"interface"`
	MTU       int       `json:"mtu,omitempty"` // bytes; 0: the network's
	// Order is the network's place among the container's, from 0. The default route
	// is that of the first.
	Order int      `json:"order,omitempty"`
	Names []string `json:"names,omitempty"` // that it is found by
	// Host is what it reaches of the host's loopback by network.HostAlias, beside the host's own
	// address.
	Host spec.Loopback `json:"host,omitzero"`
	// Egress is where it may go outside, beside what the network says.
	Egress []string `json:"egress,omitempty"`
	// Again tells that the interface may be there: the process is a new one.
	Again bool `json:"again,omitempty"`
}

// Reply is the answer to a Request. With that to Join comes the network's
// namespace.
type Reply struct {
	Version int         `json:"version"`
	Error   string      `json:"error,omitempty"`
	Hint    string      `json:"hint,omitempty"`
	Code    string      `json:"code,omitempty"`  // one of the codes below
	Busy    *spec.Port  `json:"busy,omitempty"`  // with CodeBusy: which
	Ports   []spec.Port `json:"ports,omitempty"` // Join, Publish: with their host ports
	State   *State      `json:"state,omitempty"` // Show
	// Limited tells a Join with rules of egress that they are kept.
	Limited bool `json:"limited,omitempty"`
}

// Codes of errors that a caller can do something about.
const (
	CodeBusy = "busy" // a host port is taken
	CodeGone = "gone" // there is no such member, or port
	CodeOp   = "op"   // the operation is unknown
)

// State is a network as its process sees it.
type State struct {
	PID     int       `json:"pid"`
	Network string    `json:"network"` // its id
	Members []Present `json:"members"`
	Stats   *Stats    `json:"stats,omitempty"`
}

// Stats are counters since the process began, of what passes through the gateway,
// and how many flows there are now.
type Stats struct {
	BytesIn    uint64 `json:"bytesIn"` // payload, from the host's side
	BytesOut   uint64 `json:"bytesOut"`
	FramesIn   uint64 `json:"framesIn"` // from the guests
	FramesOut  uint64 `json:"framesOut"`
	TCP        int    `json:"tcp"`
	UDP        int    `json:"udp"`
	DNSQueries uint64 `json:"dnsQueries"`
}

// Present is a member with its ports.
type Present struct {
	Member

	Ports []spec.Port `json:"ports,omitempty"`
}

// ErrOldProcess means that the network's process is of an older version of this
// program, and does not know the operation.
var ErrOldProcess = errors.New("the network's process was started by an older version")

// Error is what the process answered.
type Error struct {
	Text, Hint, Code string
	Busy             *spec.Port
}

func (e *Error) Error() string { return e.Text }

// Is makes an unknown operation ErrOldProcess.
func (e *Error) Is(target error) bool { return target == ErrOldProcess && e.Code == CodeOp }

// Conn is a connection to the process of a network. It is not safe for concurrent
// use.
type Conn struct {
	sock *sys.PacketConn
}

// NewConn takes over a connected socket.
func NewConn(f *os.File) *Conn { return &Conn{sys.NewPacketConn(f)} }

// File is the socket, to be passed on.
func (c *Conn) File() *os.File { return c.sock.File() }

// Close ends the membership, if the connection has one.
func (c *Conn) Close() error { return c.sock.Close() }

// Ask sends a request and waits for the answer. An answer that is an error is an
// *Error. ErrLost means that the process is gone.
func (c *Conn) Ask(r Request, files ...*os.File) (Reply, []*os.File, error) {
	r.Version = Version
	data, err := json.Marshal(r)
	if err != nil {
		return Reply{}, nil, err
	}
	if len(data) > MaxMessage {
		return Reply{}, nil, fmt.Errorf("ask the network's process: %d bytes are more than %d", len(data), MaxMessage)
	}
	if err := c.sock.Send(data, files...); err != nil {
		return Reply{}, nil, lost(err)
	}
	reply, got, err := c.answer()
	if err == nil && r.Limited() && !reply.Limited {
		closeAll(got)
		return reply, nil, &Error{Text: "rules of egress: " + ErrOldProcess.Error(), Code: CodeOp}
	}
	return reply, got, err
}

// Limited reports whether r asks for rules of egress, of which a process of an older
// version knows nothing.
func (r Request) Limited() bool {
	return r.Op == Join && (r.Network != nil && len(r.Network.Egress) > 0 || r.Member != nil && len(r.Member.Egress) > 0)
}

// Tell sends a request whose answer Next returns.
func (c *Conn) Tell(r Request) error {
	r.Version = Version
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return lost(c.sock.Send(data))
}

// Next waits for a message. The process sends none unasked, but closes the
// connection when it ends: then the error is one of which Lost is true.
func (c *Conn) Next() (Reply, error) {
	reply, files, err := c.answer()
	closeAll(files)
	return reply, err
}

func (c *Conn) answer() (Reply, []*os.File, error) {
	data, got, err := c.sock.Receive(MaxMessage, 1)
	if err != nil {
		return Reply{}, nil, lost(err)
	}
	var reply Reply
	if err := json.Unmarshal(data, &reply); err != nil {
		closeAll(got)
		return Reply{}, nil, fmt.Errorf("answer of the network's process: %w", err)
	}
	if reply.Error != "" {
		closeAll(got)
		return reply, nil, &Error{Text: reply.Error, Hint: reply.Hint, Code: reply.Code, Busy: reply.Busy}
	}
	return reply, got, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// ErrLost means that the process of a network has ended.
var ErrLost = errors.New("the network's process has ended")

// Lost reports whether err means that the process ended.
func Lost(err error) bool { return errors.Is(err, ErrLost) }
