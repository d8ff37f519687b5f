package dns

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	headerLen = 12
	// plainUDP is the longest message over UDP that a client takes which says nothing
	// else (RFC 1035, section 4.2.1); mostUDP the longest that one is sent, whatever it
	// says; ourUDP what we say.
	plainUDP = 512
	mostUDP  = 4096
	ourUDP   = 1232
	// ttl of what is answered here: it may be different the next moment.
	ttl = 0
)

// query is a message from a guest, understood.
type query struct {
	guest    netip.Addr
	udp      bool
	msg      []byte
	header   dnsmessage.Header
	question dnsmessage.Question
	name     string // of the question, in lower case, without the dot at the end
	edns     bool   // it has an OPT record (RFC 6891)
	size     int    // longest answer over UDP
	qEnd     int    // where the question section ends
}

// parseQuery understands a message as far as it must. It returns nil for one that
// cannot be answered, and an error code for one that is answered with it.
func parseQuery(msg []byte) (*query, dnsmessage.RCode) {
	m := &query{msg: msg, size: plainUDP}
	var p dnsmessage.Parser
	h, err := p.Start(msg)
	if err != nil || h.Response {
		return nil, 0
	}
	m.header = h
	if h.OpCode != 0 {
		return m, dnsmessage.RCodeNotImplemented
	}
	q, err := p.Question()
	if err != nil || binary.BigEndian.Uint16(msg[4:]) != 1 {
		return m, dnsmessage.RCodeFormatError
	}
	end, ok := questionEnd(msg)
	if !ok || p.SkipAllQuestions() != nil {
		return m, dnsmessage.RCodeFormatError
	}
	m.qEnd = end
	m.question = q
	m.name = strings.ToLower(strings.TrimSuffix(q.Name.String(), "."))
	if p.SkipAllAnswers() != nil || p.SkipAllAuthorities() != nil || !m.options(&p) {
		return m, dnsmessage.RCodeFormatError
	}
	return m, dnsmessage.RCodeSuccess
}

// questionEnd is where the only question of a message ends: after the labels of its
// name, type and class. There is nothing in front that the name could point to.
func questionEnd(msg []byte) (end int, ok bool) {
	for end = headerLen; end < len(msg) && msg[end] != 0; end += 1 + int(msg[end]) {
		if msg[end]&0xc0 != 0 {
			return 0, false
		}
	}
	end += 1 + 4
	return end, end <= len(msg)
}

// options reads the OPT record, of which there may be one.
func (m *query) options(p *dnsmessage.Parser) bool {
	for {
		h, err := p.AdditionalHeader()
		if err == dnsmessage.ErrSectionDone { //nolint:errorlint // as its documentation has it
			return true
		}
		if err != nil {
			return false
		}
		if h.Type == dnsmessage.TypeOPT {
			if m.edns {
				return false
			}
			m.edns = true
			m.size = min(max(int(h.Class), plainUDP), mostUDP)
		}
		if p.SkipAdditional() != nil {
			return false
		}
	}
}

// forHosts reports whether the question is for something that hosts have, rather
// than for what a zone says about itself.
func (m *query) forHosts() bool {
	t := m.question.Type
	return t != dnsmessage.TypeNS && t != dnsmessage.TypeSOA && t != typeDS && t != typeDNSKEY
}

// RFC 4034, sections 2 and 5.
const (
	typeDS     dnsmessage.Type = 43
	typeDNSKEY dnsmessage.Type = 48
)

// reply builds an answer of ours. answer adds records; it may be nil.
func (m *query) reply(rcode dnsmessage.RCode, answer func(*dnsmessage.Builder) error) []byte {
	out, err := m.build(rcode, answer)
	if err != nil {
		return nil
	}
	if m.udp && len(out) > m.size {
		return m.truncated()
	}
	return out
}

// truncated is the answer that has a client ask again over TCP.
func (m *query) truncated() []byte {
	m.header.Truncated = true
	out, err := m.build(dnsmessage.RCodeSuccess, nil)
	if err != nil {
		return nil
	}
	return out
}

func (m *query) build(rcode dnsmessage.RCode, answer func(*dnsmessage.Builder) error) ([]byte, error) {
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{
		ID: m.header.ID, Response: true, OpCode: m.header.OpCode, RecursionDesired: m.header.RecursionDesired,
		RecursionAvailable: true, CheckingDisabled: m.header.CheckingDisabled, Truncated: m.header.Truncated, RCode: rcode,
	})
	b.EnableCompression()
	if m.question.Name.Length > 0 {
		if err := b.StartQuestions(); err != nil {
			return nil, err
		}
		if err := b.Question(m.question); err != nil {
			return nil, err
		}
	}
	if answer != nil {
		if err := b.StartAnswers(); err != nil {
			return nil, err
		}
		if err := answer(&b); err != nil {
			return nil, err
		}
	}
	if m.edns {
		if err := b.StartAdditionals(); err != nil {
			return nil, err
		}
		var h dnsmessage.ResourceHeader
		if err := h.SetEDNS0(ourUDP, rcode, false); err != nil {
			return nil, err
		}
		if err := b.OPTResource(h, dnsmessage.OPTResource{}); err != nil {
			return nil, err
		}
	}
	return b.Finish()
}

// addresses answers with those of the question's type, in any order: clients take
// the first. A name without one of the type exists all the same.
func (m *query) addresses(addrs []netip.Addr) []byte {
	want := slices.DeleteFunc(slices.Clone(addrs), func(a netip.Addr) bool {
		t := m.question.Type
		return t != dnsmessage.TypeALL && (t != dnsmessage.TypeA || !a.Is4()) && (t != dnsmessage.TypeAAAA || !a.Is6())
	})
	rand.Shuffle(len(want), func(i, j int) { want[i], want[j] = want[j], want[i] })
	return m.reply(dnsmessage.RCodeSuccess, func(b *dnsmessage.Builder) error {
		for _, a := range want {
			h := dnsmessage.ResourceHeader{Name: m.question.Name, Class: dnsmessage.ClassINET, TTL: ttl}
			var err error
			if a.Is4() {
				err = b.AResource(h, dnsmessage.AResource{A: a.As4()})
			} else {
				err = b.AAAAResource(h, dnsmessage.AAAAResource{AAAA: a.As16()})
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// pointer answers with the names of an address.
func (m *query) pointer(names []string) []byte {
	if len(names) == 0 {
		return m.reply(dnsmessage.RCodeNameError, nil)
	}
	if m.question.Type != dnsmessage.TypePTR && m.question.Type != dnsmessage.TypeALL {
		return m.reply(dnsmessage.RCodeSuccess, nil)
	}
	return m.reply(dnsmessage.RCodeSuccess, func(b *dnsmessage.Builder) error {
		for _, name := range names {
			n, err := dnsmessage.NewName(name + ".")
			if err != nil {
				continue // a name that DNS has no room for
			}
			h := dnsmessage.ResourceHeader{Name: m.question.Name, Class: dnsmessage.ClassINET, TTL: ttl}
			if err := b.PTRResource(h, dnsmessage.PTRResource{PTR: n}); err != nil {
				continue
			}
		}
		return nil
	})
}

// reverse reads the name under which an address is looked up (RFC 1035, section
// 3.5; RFC 3596, section 2.5).
func reverse(name string) (netip.Addr, bool) {
	if text, ok := strings.CutSuffix(name, ".in-addr.arpa"); ok {
		parts := strings.Split(text, ".")
		if len(parts) != 4 {
			return netip.Addr{}, false
		}
		var b [4]byte
		for i, p := range parts {
			n, err := strconv.ParseUint(p, 10, 8)
			if err != nil {
				return netip.Addr{}, false
			}
			b[3-i] = byte(n)
		}
		return netip.AddrFrom4(b), true
	}
	text, ok := strings.CutSuffix(name, ".ip6.arpa")
	if !ok || len(text) != 63 {
		return netip.Addr{}, false
	}
	digits := strings.ReplaceAll(text, ".", "")
	if len(digits) != 32 {
		return netip.Addr{}, false
	}
	turned := []byte(digits)
	slices.Reverse(turned)
	var b [16]byte
	if _, err := hex.Decode(b[:], turned); err != nil {
		return netip.Addr{}, false
	}
	return netip.AddrFrom16(b), true
}

// addressesIn are the addresses that an answer has, under whichever of the names that
// its question leads to.
func addressesIn(answer []byte) (addrs []netip.Addr) {
	var p dnsmessage.Parser
	if _, err := p.Start(answer); err != nil || p.SkipAllQuestions() != nil {
		return nil
	}
	for {
		h, err := p.AnswerHeader()
		if err != nil {
			return addrs
		}
		switch h.Type {
		case dnsmessage.TypeA:
			r, err := p.AResource()
			if err != nil {
				return addrs
			}
			addrs = append(addrs, netip.AddrFrom4(r.A))
		case dnsmessage.TypeAAAA:
			r, err := p.AAAAResource()
			if err != nil {
				return addrs
			}
			addrs = append(addrs, netip.AddrFrom16(r.AAAA))
		default:
			if p.SkipAnswer() != nil {
				return addrs
			}
		}
	}
}
