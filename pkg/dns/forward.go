package dns

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

const port = 53

// errAnswer means that what a server sent is no answer to the question.
var errAnswer = errors.New("not an answer to the query")

// forward passes a query on, and the answer back.
func (r *Resolver) forward(ctx context.Context, m *query) []byte {
	servers := r.servers(m.guest)
	if len(servers) == 0 {
		return m.reply(dnsmessage.RCodeServerFailure, nil)
	}
	select {
	case r.room <- struct{}{}:
		defer func() { <-r.room }()
	default:
		return m.reply(dnsmessage.RCodeServerFailure, nil)
	}
	ctx, cancel := context.WithTimeout(ctx, r.cfg.GiveUp)
	defer cancel()
	answer := r.ask(ctx, m, servers)
	if answer == nil {
		return m.reply(dnsmessage.RCodeServerFailure, nil)
	}
	if r.cfg.Outside != nil {
		r.cfg.Outside.Answered(m.guest, m.name, addressesIn(answer))
	}
	copy(answer, m.msg[:2])
	if m.udp && len(answer) > m.size {
		return m.truncated()
	}
	return answer
}

// servers are those to ask for a guest, best first.
func (r *Resolver) servers(guest netip.Addr) []netip.AddrPort {
	var addrs []netip.Addr
	if r.cfg.Members != nil {
		addrs = r.cfg.Members.Servers(guest)
	}
	if len(addrs) == 0 {
		addrs = r.cfg.Servers
	}
	if len(addrs) == 0 {
		addrs = r.conf.read().servers
	}
	out := make([]netip.AddrPort, 0, len(addrs))
	for _, a := range addrs {
		out = append(out, netip.AddrPortFrom(a, port))
	}
	return out
}

// reported is what came of asking one server.
type reported struct {
	server int
	answer []byte
	err    error
}

// ask asks the servers until one answers: the next one when one fails, or has not
// answered for a while, then the first again. It returns nil where none did.
func (r *Resolver) ask(ctx context.Context, m *query, servers []netip.AddrPort) []byte {
	const rounds = 3
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // those that are still asked
	first := int(r.best.Load())
	tries := rounds * len(servers)
	results := make(chan reported, tries)
	dead := make([]bool, len(servers))
	asked, waiting := 0, 0
	more := func() { // asks the next server that is worth it
		for ; asked < tries; asked++ {
			i := (first + asked) % len(servers)
			if dead[i] {
				continue
			}
			asked++
			waiting++
			go func() {
				answer, err := r.exchange(ctx, m, servers[i])
				results <- reported{i, answer, err}
			}()
			return
		}
	}
	more()
	var refused []byte
	timer := time.NewTimer(r.cfg.Retry)
	defer timer.Stop()
	for waiting > 0 {
		select {
		case <-ctx.Done():
			return refused
		case <-timer.C:
			more()
			timer.Reset(r.cfg.Retry)
		case got := <-results:
			waiting--
			if got.err == nil && useful(got.answer) {
				r.best.Store(uint32(got.server)) //nolint:gosec // a few
				return got.answer
			}
			if got.err == nil {
				refused = got.answer
			}
			// Whatever it was, the same server would say it again.
			dead[got.server] = true
			more()
		}
	}
	return refused
}

// useful reports whether an answer settles the question: other servers would not
// know better.
func useful(answer []byte) bool {
	switch rcode := dnsmessage.RCode(answer[3] & 0xf); rcode {
	case dnsmessage.RCodeServerFailure, dnsmessage.RCodeRefused, dnsmessage.RCodeNotImplemented:
		return false
	default:
		return true
	}
}

// exchange asks one server once.
func (r *Resolver) exchange(ctx context.Context, m *query, server netip.AddrPort) ([]byte, error) {
	network := "udp"
	if !m.udp {
		network = "tcp"
	}
	conn, err := r.cfg.Dial(ctx, network, server.String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) }) // wakes who waits
	defer stop()
	msg := slices.Clone(m.msg)
	if _, err := rand.Read(msg[:2]); err != nil {
		return nil, err
	}
	if !m.udp {
		return exchangeTCP(conn, msg, m.qEnd)
	}
	if _, err := conn.Write(msg); err != nil {
		return nil, err
	}
	buf := make([]byte, math.MaxUint16)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return nil, err
		}
		// Anything else is somebody's guess: the answer may still come.
		if isAnswer(msg, buf[:n], m.qEnd) {
			return slices.Clone(buf[:n]), nil
		}
	}
}

// exchangeTCP has the length in front of each message (RFC 1035, section 4.2.2).
func exchangeTCP(conn io.ReadWriter, msg []byte, qEnd int) ([]byte, error) {
	if len(msg) > math.MaxUint16 {
		return nil, fmt.Errorf("query of %d bytes", len(msg))
	}
	if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(msg))), msg...)); err != nil { //nolint:gosec // checked above
		return nil, err
	}
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, err
	}
	answer := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(conn, answer); err != nil {
		return nil, err
	}
	if !isAnswer(msg, answer, qEnd) {
		return nil, errAnswer
	}
	return answer, nil
}

// isAnswer reports whether a message has the id and the question of the one that was
// sent, or says that its sender could not read it (RFC 1035, section 4.1.1).
func isAnswer(sent, got []byte, qEnd int) bool {
	if len(got) < headerLen || got[0] != sent[0] || got[1] != sent[1] || got[2]&0x80 == 0 {
		return false
	}
	if questions := binary.BigEndian.Uint16(got[4:]); questions == 0 {
		return got[3]&0xf != 0 // an error, without the question
	} else if questions != 1 || len(got) < qEnd {
		return false
	}
	return equalFold(sent[headerLen:qEnd-4], got[headerLen:qEnd-4]) && bytes.Equal(sent[qEnd-4:qEnd], got[qEnd-4:qEnd])
}

// equalFold compares names of the same length, whose letters have no case (RFC
// 4343).
func equalFold(a, b []byte) bool {
	for i, c := range a {
		if d := b[i]; c != d && (c^d != 0x20 || c|0x20 < 'a' || c|0x20 > 'z') {
			return false
		}
	}
	return true
}
