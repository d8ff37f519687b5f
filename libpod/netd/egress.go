package netd

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"github.com/nook-containers/nook/libpod/events"
	"github.com/nook-containers/nook/slirp"
)

// egress is the slirp.EgressFunc. An address that is no member's has no rights: a
// guest that takes one gains nothing.
func (s *server) egress(ctx context.Context, f slirp.Flow) slirp.Verdict {
	r := s.guests.await(ctx, f.Src.Addr())
	if r == nil {
		return slirp.Reject
	}
	dst := f.Dst
	if f.Proto == slirp.Echo {
		dst = netip.AddrPortFrom(dst.Addr(), 0)
	}
	if r.allows(dst) {
		return slirp.Allow
	}
	s.refused(r, placeOf(f.Proto, dst))
	return slirp.Reject
}

func placeOf(proto slirp.Proto, dst netip.AddrPort) string {
	if dst.Port() == 0 {
		return dst.Addr().String() + "/" + proto.String()
	}
	return dst.String() + "/" + proto.String()
}

// outside is the dns.Outside of a network.
type outside struct{ *server }

// MayAsk reports whether the rules of a guest have the name.
func (s outside) MayAsk(ctx context.Context, guest netip.Addr, name string) bool {
	r := s.guests.await(ctx, guest)
	switch {
	case r == nil:
		return false
	case r.mayAsk(name):
		return true
	}
	// What programs ask about an address, to show its name, is no wish to go there.
	if !strings.HasSuffix(name, ".arpa") {
		s.refused(r, name)
	}
	return false
}

// Answered lets a guest go where a name of its rules leads.
func (s outside) Answered(guest netip.Addr, name string, addrs []netip.Addr) {
	if r := s.guests.at(guest); r != nil {
		r.own.Answered(name, addrs)
		r.network.Answered(name, addrs)
	}
}

// refused tells once that a guest may not go to a place, in the log of the process and
// in that of events.
func (s *server) refused(r *rights, place string) {
	first, last := r.tell(place)
	if !first {
		return
	}
	s.log.Warn("egress refused", "container", r.Name, "destination", place)
	if last {
		s.log.Warn("egress: what else it is refused is not told", "container", r.Name)
	}
	_ = s.events.Append(events.Event{ // the log is for those who look
		Time: time.Now(), Type: events.Network, Action: events.EgressRefused, ID: s.network.ID, Name: s.network.Name,
		Attributes: map[string]string{"container": r.ID, "containerName": r.Name, "name": s.network.Name, "destination": place},
	})
}
