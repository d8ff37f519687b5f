package slirp

import (
	"context"
	"net/netip"
)

// A Flow is what a guest wants to open.
type Flow struct {
	Proto Proto
	Src   netip.AddrPort // the guest; port 0 for Echo
	Dst   netip.AddrPort // as the guest wrote it
}

// A Verdict decides about a flow.
type Verdict uint8

const (
	// Allow lets the flow pass.
	Allow Verdict = iota
	// Reject answers that it is prohibited: a reset, or an ICMP error (RFC 1812,
	// section 5.2.7.1, code 13; RFC 4443, section 3.1, code 1).
	Reject
	// Drop does not answer.
	Drop
)

// An EgressFunc decides about an outgoing flow, once, when it begins. It may
// wait, for a name lookup for example, until ctx is done; meanwhile only this flow
// waits. It is called from many goroutines, for flows that nothing else forbids.
type EgressFunc func(ctx context.Context, f Flow) Verdict

// A DNSQuery is a DNS message from a guest (RFC 1035, section 4.1).
type DNSQuery struct {
	Guest netip.AddrPort
	Proto Proto  // UDP or TCP
	Msg   []byte // valid until the handler returns
}

// A DNSHandler answers q. An answer to a UDP query that is longer than the client
// takes is the handler's to truncate. nil answers nothing. It is called from many
// goroutines, at most Limits.DNSQueries at one time; ctx ends with the network and
// after ten seconds.
type DNSHandler func(ctx context.Context, q DNSQuery) []byte

// Stats are counters since the start of a network, and the flows there are.
type Stats struct {
	TCP, UDP, Echo FlowStats

	// Frames that guests sent, and those dropped by reason: not for us or malformed,
	// a source address that no guest has, a full queue or limit.
	FramesIn, FramesOut                           uint64
	DroppedMalformed, DroppedSource, DroppedLimit uint64

	// Payload bytes to and from the host's side.
	BytesOut, BytesIn uint64

	DNSQueries uint64
}

// FlowStats count flows of one protocol.
type FlowStats struct {
	Active  int    // now, published ones included
	Opened  uint64 // ever
	Failed  uint64 // refused or unreachable on the host's side
	Denied  uint64 // by Config.Egress, or towards the host or the subnets
	Limited uint64 // by Limits
}
