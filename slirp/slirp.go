// Package slirp connects networks of containers to the host's network without
// privilege: a user-mode stack at the end of a TAP device turns what the guests
// send into ordinary sockets of an ordinary process, and published ports back
// into connections to guests.
//
// This package is the contract; subpackages hold the implementations, and
// slirptest the suite that each of them passes.
//
// # What guests see
//
// A network has one IPv4 and one IPv6 subnet, or one of them. Guests are
// configured statically, with the gateway as default route. Any number of them
// may be behind the TAP, each with a hardware address of its own, because the TAP
// is one port of a bridge.
//
//   - The gateway answers ARP, neighbour discovery and pings. TCP and UDP on port
//     53 of Config.DNSAddrs reach Config.DNS. Nothing else listens there.
//   - Every other address outside the subnets is opened by the process on the
//     host, one socket per flow, after Config.Host and Config.Egress had their
//     say. Routes, VPNs and addresses of the host that change apply to the next
//     flow.
//   - A guest's TCP connection is accepted when the host's has been. A refused one
//     is refused, an unreachable destination is unreachable, and a reset and half a
//     close pass through in both directions.
//   - The host itself is out of reach: neither its loopback nor any address that
//     it has, unless Config.Host says so.
//   - Through a published port, a guest sees the address of the client.
package slirp

import (
	"context"
	"errors"
	"net/netip"
	"os"
)

// A Backend is a way to connect a network to the host's. Implementations hold no
// state: everything belongs to the Network that Start returns.
type Backend interface {
	// Name is the backend's name as users write it, "pasta" for example.
	Name() string

	// Check says why this host can't run the backend; nil means it can.
	Check() error

	// Features says which parts of the contract the backend keeps.
	Features() Features

	// Start connects link as cfg says, and returns when guests can use it. ctx
	// covers only the start. Whatever of cfg the backend can't do is an error
	// wrapping ErrFeature, never ignored. The backend takes over link.TAP, also when
	// it fails.
	Start(ctx context.Context, link Link, cfg Config) (Network, error)
}

// A Network is a running connection. Its methods are safe for concurrent use.
type Network interface {
	// Publish adds a port and returns it with the host port that was chosen.
	// Connections are accepted from when it returns. The error is ErrPublished for a
	// port that is published already.
	Publish(ctx context.Context, p Port) (Port, error)

	// Unpublish closes a port as Publish returned it, and the connections through
	// it. The error is ErrNotPublished where there is none.
	Unpublish(p Port) error

	// Ports lists what is published, in the order of publishing.
	Ports() []Port

	// Stats returns the counters since the start.
	Stats() Stats

	// Calm gives back the memory that only traffic needs. It is to be called when there
	// is none, and harms nothing when there is.
	Calm()

	// Done is closed when the network has ended, by Close or by itself; then Err
	// says why. After Close it is nil.
	Done() <-chan struct{}
	Err() error

	// Close ends every flow and returns when nothing of the network is left: no
	// descriptor, no goroutine, no process.
	Close() error
}

// A Link is the wire between guests and backend. In-process backends take TAP;
// programs make a TAP of their own in NetNS.
type Link struct {
	// TAP holds the queues of a TAP device from sys.OpenTAP, one as a rule.
	TAP []*os.File

	// NetNS is the network namespace of the guests, and UserNS the user namespace
	// that owns it; nil means that of this process. Name is what to call the TAP
	// there; default "tap0".
	NetNS  *os.File
	UserNS *os.File
	Name   string

	// Guests are the addresses of the only guest, for backends without ManyGuests.
	Guests []netip.Addr
}

// Features are parts of the contract that not every backend keeps.
type Features struct {
	ManyGuests   bool // more than one guest address, and Link.TAP
	LiveTAP      bool // works on a TAP that somebody else made
	IPv6         bool
	Ping         bool // echo requests reach other hosts where the host permits it
	Publish      bool // ports can come and go
	ClientSource bool // guests see the client's address through published ports
	DNSHook      bool // Config.DNS
	Egress       bool // Config.Egress
	HostAddrs    bool // the host's own addresses can be kept out of reach
	HalfClose    bool // one direction of a TCP connection can end before the other
	Refusals     bool // refused, unreachable and reset pass through as they are
	Counters     bool // Stats counts flows
}

// Errors of backends and networks.
var (
	// ErrFeature: the backend can't do what the configuration asks for.
	ErrFeature = errors.New("the network backend can't do this")
	// ErrPublished: the network publishes this port already.
	ErrPublished = errors.New("already published")
	// ErrNotPublished: the network has no such port.
	ErrNotPublished = errors.New("not published")
	// ErrClosed: the network has ended.
	ErrClosed = errors.New("network has ended")
)
