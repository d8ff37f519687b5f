package slirp

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"
)

// Config says what the guests of one network see. One subnet is required, the
// rest of the zero value is usable.
type Config struct {
	// IPv4 and IPv6 are the subnets with their gateways. A zero Subnet leaves the
	// family out.
	IPv4, IPv6 Subnet

	// MTU of the TAP in bytes, 1280 to 65520. Default 65520, as in pasta(1) --mtu:
	// the largest IP packet less the frame header, rounded down to 4 bytes.
	MTU int

	// MAC is the gateway's hardware address. Default 5a:94:ef:e4:0c:dd.
	MAC [6]byte

	// DNS answers queries; nil refuses them. DNSAddrs are where it listens, each
	// inside a subnet or link-local. Default: the gateways.
	DNS      DNSHandler `json:"-"`
	DNSAddrs []netip.Addr

	// Host opens parts of the host to guests. By default none.
	Host HostAccess

	// Egress is asked before each outgoing flow; nil allows all.
	Egress EgressFunc `json:"-"`

	// Ports are published from the start; if one can't be, Start fails.
	Ports []Port

	// Stir is called when an in-process backend gets the first frame of a guest, at all
	// and after Network.Calm. It returns soon. nil: nobody cares.
	Stir func() `json:"-"`

	// Limits bound what guests can make the process use.
	Limits Limits

	// Log gets what an administrator should see, at most once per kind and minute.
	// nil discards it.
	Log *slog.Logger `json:"-"`
}

// A Subnet is the network of the guests in one family.
type Subnet struct {
	Prefix  netip.Prefix // its address part is ignored
	Gateway netip.Addr   // default: the first address after the network's own
}

// HostAccess says which of the host's own addresses guests can reach.
type HostAccess struct {
	// Addrs lets guests reach the host by the addresses that it has, loopback
	// excepted.
	Addrs bool

	// Aliases are addresses that stand for an address of the host, loopback
	// addresses included. They come before every other rule.
	Aliases []Alias

	// AliasOf is asked about each flow before Aliases are, by many goroutines: where
	// ok, the flow's destination stands for host, and for nothing if that is not
	// valid. nil: there are no aliases that depend on the guest.
	AliasOf AliasFunc `json:"-"`
}

// An AliasFunc says which address of the host the destination of a flow stands
// for.
type AliasFunc func(f Flow) (host netip.Addr, ok bool)

// An Alias makes one address that guests use mean one of the host's.
type Alias struct {
	Guest netip.Addr  // as guests write it; the gateway's is allowed
	Host  netip.Addr  // same family
	Ports []PortRange // nil: all ports
}

// A PortRange is the ports First to Last, both included.
type PortRange struct{ First, Last uint16 }

// Contains reports whether p is in the range.
func (r PortRange) Contains(p uint16) bool { return r.First <= p && p <= r.Last }

// Limits bound what guests can make the process use. A zero field means its
// default. Where a limit is met, new flows are dropped or refused and counted;
// those that exist go on.
type Limits struct {
	TCPFlows      int           // established connections; default 8192
	TCPHalfOpen   int           // connections being opened, in all; default 1024
	UDPFlows      int           // pairs of addresses and ports; default 4096
	PingFlows     int           // default 256
	PerGuest      int           // share of one guest in each of the above, in percent; default 50
	Neighbours    int           // guest addresses remembered; default 4096
	BufferBytes   int           // TCP payload held, in all; default 128 MiB
	DNSQueries    int           // being answered at one time; default 256
	UDPIdle       time.Duration // default 180 s, a minute after one packet each way (RFC 4787 asks for 2 min)
	ConnectWait   time.Duration // default 60 s, for a connection to the host's side
	HandshakeWait time.Duration // default 10 s, for a guest to accept a published connection
}

// DefaultLimits are the defaults.
func DefaultLimits() Limits {
	return Limits{
		TCPFlows: 8192, TCPHalfOpen: 1024, UDPFlows: 4096, PingFlows: 256, PerGuest: 50,
		Neighbours: 4096, BufferBytes: 128 << 20, DNSQueries: 256,
		UDPIdle: 180 * time.Second, ConnectWait: 60 * time.Second, HandshakeWait: 10 * time.Second,
	}
}

// Share is how much of limit one guest may use, at least 1.
func (l Limits) Share(limit int) int { return max(1, limit*l.PerGuest/100) }

// MTU bounds and defaults, in bytes.
const (
	MinMTU = 1280 // RFC 8200, section 5
	MaxMTU = 65520
)

// WithDefaults returns c with the defaults filled in.
func (c Config) WithDefaults() Config {
	if c.MTU == 0 {
		c.MTU = MaxMTU
	}
	if c.MAC == [6]byte{} {
		c.MAC = [6]byte{0x5a, 0x94, 0xef, 0xe4, 0x0c, 0xdd}
	}
	c.IPv4, c.IPv6 = c.IPv4.withDefaults(), c.IPv6.withDefaults()
	if c.DNSAddrs == nil {
		for _, s := range []Subnet{c.IPv4, c.IPv6} {
			if s.Prefix.IsValid() {
				c.DNSAddrs = append(c.DNSAddrs, s.Gateway)
			}
		}
	}
	if c.Stir == nil {
		c.Stir = func() {}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.Limits = c.Limits.withDefaults()
	return c
}

func (s Subnet) withDefaults() Subnet {
	if s.Prefix.IsValid() {
		s.Prefix = s.Prefix.Masked()
		if !s.Gateway.IsValid() {
			s.Gateway = s.Prefix.Addr().Next()
		}
	}
	return s
}

func (l Limits) withDefaults() Limits {
	d := DefaultLimits()
	for _, f := range []struct{ have, def *int }{
		{&l.TCPFlows, &d.TCPFlows},
		{&l.TCPHalfOpen, &d.TCPHalfOpen},
		{&l.UDPFlows, &d.UDPFlows},
		{&l.PingFlows, &d.PingFlows},
		{&l.PerGuest, &d.PerGuest},
		{&l.Neighbours, &d.Neighbours},
		{&l.BufferBytes, &d.BufferBytes},
		{&l.DNSQueries, &d.DNSQueries},
	} {
		if *f.have == 0 {
			*f.have = *f.def
		}
	}
	for _, f := range []struct{ have, def *time.Duration }{
		{&l.UDPIdle, &d.UDPIdle}, {&l.ConnectWait, &d.ConnectWait}, {&l.HandshakeWait, &d.HandshakeWait},
	} {
		if *f.have == 0 {
			*f.have = *f.def
		}
	}
	return l
}

// Validate reports every problem of c, which has its defaults, at once.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !c.IPv4.Prefix.IsValid() && !c.IPv6.Prefix.IsValid() {
		bad("subnet: want one of IPv4 and IPv6")
	}
	errs = append(errs, c.IPv4.validate("IPv4", netip.Addr.Is4, 30), c.IPv6.validate("IPv6", netip.Addr.Is6, 126))
	if c.MTU < MinMTU || c.MTU > MaxMTU {
		bad("MTU %d: want %d to %d bytes", c.MTU, MinMTU, MaxMTU)
	}
	if c.MAC[0]&1 != 0 {
		bad("MAC %x: is a multicast address", c.MAC)
	}
	errs = append(errs, c.validateAddrs(), c.validatePorts(), c.Limits.validate())
	return errors.Join(errs...)
}

func (c Config) validateAddrs() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for _, a := range c.DNSAddrs {
		if !a.IsValid() || a.Is4() && !c.IPv4.Prefix.IsValid() || a.Is6() && !c.IPv6.Prefix.IsValid() {
			bad("DNS address %s: no subnet of its family", a)
		}
	}
	for _, a := range c.Host.Aliases {
		if !a.Guest.IsValid() || !a.Host.IsValid() || a.Guest.BitLen() != a.Host.BitLen() {
			bad("host alias %s for %s: want two addresses of one family", a.Guest, a.Host)
		}
	}
	return errors.Join(errs...)
}

func (c Config) validatePorts() error {
	var errs []error
	for i, p := range c.Ports {
		if slices.ContainsFunc(c.Ports[:i], func(o Port) bool { return o.HostPort != 0 && o.listensLike(p) }) {
			errs = append(errs, fmt.Errorf("port %s: twice", p))
		}
		errs = append(errs, p.Validate())
	}
	return errors.Join(errs...)
}

func (s Subnet) validate(name string, ofFamily func(netip.Addr) bool, longest int) error {
	if !s.Prefix.IsValid() {
		return nil
	}
	a := s.Prefix.Addr()
	switch {
	case !ofFamily(a) || a.Is4In6():
		return fmt.Errorf("%s subnet %s: wrong family", name, s.Prefix)
	case s.Prefix.Bits() > longest:
		return fmt.Errorf("%s subnet %s: too small for a gateway and a guest", name, s.Prefix)
	case a.IsLoopback() || a.IsMulticast() || a.IsUnspecified():
		return fmt.Errorf("%s subnet %s: not for hosts", name, s.Prefix)
	case !s.Prefix.Contains(s.Gateway) || s.Gateway == a:
		return fmt.Errorf("%s gateway %s: not an address of %s", name, s.Gateway, s.Prefix)
	}
	return nil
}

func (l Limits) validate() error {
	if min(l.TCPFlows, l.TCPHalfOpen, l.UDPFlows, l.PingFlows, l.PerGuest, l.Neighbours, l.BufferBytes, l.DNSQueries) < 0 ||
		min(l.UDPIdle, l.ConnectWait, l.HandshakeWait) < 0 || l.PerGuest > 100 {
		return fmt.Errorf("limits %+v: want nothing negative, and at most 100 percent", l)
	}
	return nil
}

// Subnets are those of the configuration, one or two.
func (c Config) Subnets() []Subnet {
	var all []Subnet
	for _, s := range []Subnet{c.IPv4, c.IPv6} {
		if s.Prefix.IsValid() {
			all = append(all, s)
		}
	}
	return all
}
