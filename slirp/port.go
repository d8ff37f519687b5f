package slirp

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
)

// Proto is a transport protocol.
type Proto uint8

// The protocols, by their number (assigned by IANA). Echo stands for ICMP and
// ICMPv6 echo requests, which have no ports.
const (
	Echo Proto = 1
	TCP  Proto = 6
	UDP  Proto = 17
)

func (p Proto) String() string {
	switch p {
	case Echo:
		return "icmp"
	case TCP:
		return "tcp"
	case UDP:
		return "udp"
	}
	return fmt.Sprintf("protocol %d", uint8(p))
}

// A Port is one port of the host that leads to a guest.
type Port struct {
	Proto Proto // TCP or UDP

	// HostIP is the address to listen on. The zero Addr means every address of both
	// families, 0.0.0.0 and :: every one of theirs.
	HostIP   netip.Addr
	HostPort uint16 // 0 lets the kernel choose

	// Guest is where connections go to, one address or one of each family: clients
	// get to the one of their own family if there is one, else to the other, from the
	// gateway's address, as no client address fits.
	Guest     []netip.Addr
	GuestPort uint16

	// Source says which address guests see as the client.
	Source Source

	// Listener is a listening socket to use in place of HostIP and HostPort: one
	// that a service manager opened, below 1024 for instance. TCP only. The network
	// duplicates it; the caller keeps its own.
	Listener *os.File
}

// Source says which address a guest sees as the client of a published port.
type Source uint8

const (
	// SourceClient is the client's own address and, if it is free, port. Clients on
	// the host's loopback, and those whose address belongs to the guests' subnet,
	// are the gateway: a guest could not answer them, and software that trusts
	// 127.0.0.1 must not be fooled (CVE-2021-20199).
	SourceClient Source = iota
	// SourceGateway makes every client the gateway, for guests without a default
	// route.
	SourceGateway
)

func (p Port) String() string {
	host := "*"
	if p.HostIP.IsValid() {
		host = p.HostIP.String()
	}
	return fmt.Sprintf("%s:%d/%s", host, p.HostPort, p.Proto)
}

// Validate reports what is wrong with p.
func (p Port) Validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("port %s: "+format, append([]any{p}, args...)...))
	}
	if p.Proto != TCP && p.Proto != UDP {
		bad("want tcp or udp")
	}
	if p.GuestPort == 0 {
		bad("no guest port")
	}
	if err := validGuests(p.Guest); err != nil {
		bad("%w", err)
	}
	if p.HostIP.IsMulticast() || p.HostIP.Is4In6() {
		bad("host address %s", p.HostIP)
	}
	if p.Listener != nil && p.Proto != TCP {
		bad("a listener is for tcp")
	}
	return errors.Join(errs...)
}

func validGuests(guests []netip.Addr) error {
	if len(guests) == 0 || len(guests) > 2 || len(guests) == 2 && guests[0].Is4() == guests[1].Is4() {
		return errors.New("want one guest address, or one of each family")
	}
	for _, g := range guests {
		if !g.IsValid() || g.IsUnspecified() || g.IsMulticast() || g.Is4In6() {
			return fmt.Errorf("guest address %s", g)
		}
	}
	return nil
}

// listensLike reports whether p and o listen on the same address and port.
func (p Port) listensLike(o Port) bool {
	return p.Listener == nil && o.Listener == nil && p.Proto == o.Proto && p.HostIP == o.HostIP && p.HostPort == o.HostPort
}

// Same reports whether p and o are the same published port.
func (p Port) Same(o Port) bool {
	return p.Proto == o.Proto && p.HostIP == o.HostIP && p.HostPort == o.HostPort
}
