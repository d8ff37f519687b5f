package relay

import (
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/nook-containers/nook/pkg/sys/inet"
	"github.com/nook-containers/nook/slirp"
	"github.com/nook-containers/nook/slirp/forward"
)

const (
	// introduceAgain is when our SYN is sent again first, and introductions how often to
	// a guest that has asked for it.
	introduceAgain = time.Second
	introductions  = 5

	// anyPort is how often a free port is looked for.
	anyPort = 64
)

// open begins to open a flow.
func (r *Relay) open(s *Segment) {
	if r.closed {
		return
	}
	if !r.Half.Enter(s.Guest.Addr()) {
		r.Network.Count(Limited)
		return
	}
	f := &flow{r: r, key: key{s.Guest, s.Remote}, fd: -1, rcvNxt: s.seq() + 1, quote: append([]byte(nil), s.Quote...)}
	f.options(s)
	r.flows[f.key] = f
	r.Network.Admit(slirp.Flow{Proto: slirp.TCP, Src: s.Guest, Dst: s.Remote}, f.admitted)
}

// Call connects a client of the host, whose socket fd is, with a guest: from is what
// the guest sees as the client; port 0, or one that is used between these two, means any.
// The connection is a reset if the guest does not accept it.
func (r *Relay) Call(fd int, from, to netip.AddrPort, owner any) {
	f := &flow{r: r, key: key{to, from}, state: calling, owner: owner, fd: fd, una: isn()}
	f.nxt = f.una + 1
	f.mss, f.scale, f.rcvScale = r.mss(to.Addr()), 0, ourScale
	f.entered = !r.closed && r.Open.Enter(to.Addr())
	if !f.entered || !r.name(f) {
		r.Network.Count(Limited)
		f.abort()
		return
	}
	if err := f.watch(); err != nil {
		r.Network.Shortage(err)
		r.Network.Count(Failed)
		f.abort()
		return
	}
	f.until = r.now() + r.CallWait
	f.introduce()
}

// name sees to it that f has a key of its own, and reports false where it finds none.
func (r *Relay) name(f *flow) bool {
	for range anyPort {
		if old := r.flows[f.key]; f.key.remote.Port() != 0 && (old == nil || old.state == ended) {
			if old != nil {
				old.drop()
			}
			r.flows[f.key] = f
			return true
		}
		f.key.remote = netip.AddrPortFrom(f.key.remote.Addr(), 1024+uint16(rand.N(65536-1024))) //nolint:gosec // any port
	}
	return false
}

// isn is the number that our first byte comes after.
func isn() seq { return seq(rand.Uint32()) } //nolint:gosec // seeded by the kernel, and hard to guess

// options notes what the guest's SYN s says of segments and windows.
func (f *flow) options(s *Segment) {
	mss, scale, sack := s.options()
	f.sack = sack
	f.mss = min(mss, f.r.mss(s.Guest.Addr()))
	f.scale, f.rcvScale = max(scale, 0), ourScale
	if f.scaled = scale >= 0; !f.scaled {
		f.rcvScale = 0
	}
}

// mss is the largest segment for a.
func (r *Relay) mss(a netip.Addr) int {
	if a.Is4() {
		return r.MTU - 20 - headerLen
	}
	return r.MTU - 40 - headerLen
}

// admitted connects the host's side, if it may be.
func (f *flow) admitted(dst netip.AddrPort, outcome forward.Outcome) {
	if f.state != opening {
		return
	}
	n := f.r.Network
	if outcome != forward.Opened {
		n.Count(Denied)
		f.refuse(outcome)
		return
	}
	if f.entered = f.r.Open.Enter(f.key.guest.Addr()); !f.entered {
		n.Count(Limited)
		f.refuse(forward.Dropped)
		return
	}
	sock, err := inet.OpenTCP(dst)
	if err != nil {
		f.failed(err)
		return
	}
	f.sock, f.fd = sock, sock.FD
	done, err := sock.Connect()
	if err == nil && !done { // what is near has answered meanwhile
		done, err = sock.Connect()
	}
	switch {
	case err != nil:
		f.failed(err)
	case done:
		f.connected()
	default:
		if err := f.watch(); err != nil {
			f.failed(err)
			return
		}
		f.r.at(f, f.r.ConnectWait)
	}
}

func (f *flow) watch() (err error) {
	f.id, err = f.r.Loop.Add(f.fd, f)
	f.watched = err == nil
	return err
}

// failed tells the guest that there is no connection.
func (f *flow) failed(err error) {
	f.r.Network.Shortage(err)
	f.r.Network.Count(Failed)
	f.refuse(forward.OutcomeOf(err))
}

// refuse ends the opening of f: with a reset, an ICMP error, or silence.
func (f *flow) refuse(why forward.Outcome) {
	if why == forward.Refused {
		f.control(flagRST | flagACK)
	} else {
		f.r.Network.Refuse(f.quote, why)
	}
	f.abort()
}

// connected answers the guest's SYN.
func (f *flow) connected() {
	f.sock, f.quote = nil, nil
	f.deadline = 0
	f.setState(answered)
	f.una = isn()
	f.nxt = f.una + 1
	if !f.watched {
		if err := f.watch(); err != nil {
			f.r.Network.Shortage(err)
			f.r.Network.Count(Failed)
			f.reset()
			return
		}
	}
	f.introduce()
}

// introduce sends our SYN: an answer, or the first.
func (f *flow) introduce() {
	b, flags, scale := f.r.control[:f.r.Headroom+headerLen+optionsLen], byte(flagSYN|flagACK), -1
	if f.state == calling {
		flags = flagSYN
	}
	if f.state == calling || f.scaled {
		scale = ourScale
	}
	window := min(f.room(), 65535)
	f.edge, f.acked = f.rcvNxt+seq(window), f.rcvNxt                                      //nolint:gosec // of 16 bits
	f.key.put(b[f.r.Headroom:], head{f.una, f.rcvNxt, flags, uint16(window), optionsLen}) //nolint:gosec // of 16 bits
	putOptions(b[f.r.Headroom:], f.r.mss(f.key.guest.Addr()), scale, f.state == calling || f.sack)
	f.r.Network.Send(b, f.key.remote, f.key.guest, f.mss)
	again := introduceAgain << f.tries
	if f.state == calling {
		again = min(again, f.until-f.r.now())
	}
	f.r.at(f, again)
}

// called handles what a guest says to our SYN.
func (f *flow) called(s *Segment) {
	switch {
	case s.has(flagACK) && s.ack() != f.nxt:
		if !s.has(flagRST) { // of an older connection
			f.r.bare(f.key, s.ack(), flagRST)
		}
	case s.has(flagRST):
		if s.has(flagACK) {
			f.r.Network.Count(Failed)
			f.abort()
		}
	case s.flags()&(flagSYN|flagACK) == flagSYN|flagACK:
		f.rcvNxt = s.seq() + 1
		f.edge = f.rcvNxt + seq(min(f.room(), 65535)) //nolint:gosec // of 16 bits
		f.options(s)
		f.established(s)
		f.acknowledge()
		f.pull()
	}
}

// unanswered ends a call that the guest does not accept.
func (f *flow) unanswered() {
	f.r.Network.Count(Failed)
	f.reset()
}

// established is called when the guest has acknowledged our SYN.
func (f *flow) established(s *Segment) {
	f.setState(open)
	f.una = f.nxt
	f.tries, f.deadline = 0, 0
	f.updated = [2]seq{s.seq(), s.ack()}
	if f.window = s.window(); !s.has(flagSYN) {
		f.window <<= f.scale
	}
	f.r.opened(1)
	f.r.Network.Count(Opened)
}
