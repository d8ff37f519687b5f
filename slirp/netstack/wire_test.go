package netstack

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip/checksum"

	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/slirp/slirptest"
)

// TestFragments cuts datagrams, puts them together again and checks the whole.
func TestFragments(t *testing.T) {
	for name, ends := range map[string][2]netip.AddrPort{
		"IPv4": {netip.MustParseAddrPort("203.0.113.10:53"), netip.AddrPortFrom(guest4, 999)},
		"IPv6": {netip.MustParseAddrPort("[2001:db8::1]:53"), netip.AddrPortFrom(guest6, 999)},
	} {
		for _, size := range []int{0, 1, 1400, 1473, 3001, 65000} {
			payload := bytes.Repeat([]byte("0123456789abc"), size/13+1)[:size]
			packet := udpPacket(append(make([]byte, headroom), payload...), ends[0], ends[1], 1500)
			hdr := ipLen(ends[0].Addr())
			var got []byte
			count := 0
			fragments(packet, 1500, 77, func(f []byte) {
				ip := f[sys.VnetHeaderLen+ethLen:]
				if len(ip) > 1500 {
					t.Fatalf("%s %d: fragment of %d bytes", name, size, len(ip))
				}
				off, more, data := parseFragment(t, ip, hdr)
				if off != len(got) || more != (len(got)+len(data) < size+udpLen) {
					t.Fatalf("%s %d: fragment %d at %d, more %v; have %d", name, size, count, off, more, len(got))
				}
				got = append(got, data...)
				count++
			})
			if !bytes.Equal(got[udpLen:], payload) {
				t.Fatalf("%s %d: other payload", name, size)
			}
			if int(binary.BigEndian.Uint16(got[4:])) != size+udpLen || binary.BigEndian.Uint16(got) != 53 || binary.BigEndian.Uint16(got[2:]) != 999 {
				t.Errorf("%s %d: UDP header % x", name, size, got[:udpLen])
			}
			if count > 1 { // one frame leaves the checksum to the kernel
				if sum := checksum.Checksum(got, pseudo(protoUDP, ends[0].Addr(), ends[1].Addr(), len(got))); sum != 0xffff {
					t.Errorf("%s %d: checksum is off: %#x", name, size, sum)
				}
			}
			if want := (size+udpLen)/1472 + 1; count != want && count != want-1 && count != want+1 {
				t.Errorf("%s %d: %d fragments", name, size, count)
			}
		}
	}
}

func parseFragment(t *testing.T, ip []byte, hdr int) (off int, more bool, data []byte) {
	t.Helper()
	if hdr == ip4Len {
		if checksum.Checksum(ip[:ip4Len], 0) != 0xffff {
			t.Fatal("IPv4 header checksum is off")
		}
		if int(binary.BigEndian.Uint16(ip[2:])) != len(ip) {
			t.Fatal("IPv4 total length is off")
		}
		f := binary.BigEndian.Uint16(ip[6:])
		return int(f&0x1fff) * 8, f&0x2000 != 0, ip[hdr:]
	}
	if int(binary.BigEndian.Uint16(ip[4:])) != len(ip)-ip6Len {
		t.Fatal("IPv6 payload length is off")
	}
	if ip[6] != 44 {
		return 0, false, ip[hdr:]
	}
	if ip[ip6Len] != protoUDP || binary.BigEndian.Uint32(ip[ip6Len+4:]) != 77 {
		t.Fatalf("fragment header % x", ip[ip6Len:ip6Len+8])
	}
	f := binary.BigEndian.Uint16(ip[ip6Len+2:])
	return int(f &^ 7), f&1 != 0, ip[hdr+8:]
}

// TestClassify looks at what each seed is, and at what becomes of it when it is
// cut short.
func TestClassify(t *testing.T) {
	f := newFilter(slirptest.Config().WithDefaults())
	want := []kind{arp, ndp, segment, segment, segment, datagram, datagram, echo, echo, packet, packet}
	for i, s := range seeds() {
		w := packet // fragments
		if i < len(want) {
			w = want[i]
		}
		if got := f.classify(s[:min(len(s), headLen)], len(s)); got.kind != w {
			t.Errorf("seed %d is %d, want %d", i, got.kind, w)
		}
		for n := range min(len(s), headLen) {
			if got := f.classify(s[:n], n); got.kind != malformed && got.kind != notOurs && n < len(s)-1 {
				if w != arp || n < ethLen+28 {
					t.Errorf("seed %d cut to %d bytes is %d", i, n, got.kind)
				}
			}
		}
	}
}

func TestNeighboursAreBounded(t *testing.T) {
	n := newNeighbours(10)
	a := guest4
	for range 1000 {
		a = a.Next()
		n.learn(a, guestMAC)
	}
	if len(n.macs) > 10 {
		t.Errorf("%d neighbours, want 10", len(n.macs))
	}
	if m, ok := n.lookup(a); !ok || m != guestMAC {
		t.Error("the newest is not known")
	}
	asked := 0
	n.ask = func(netip.Addr) { asked++ }
	for range 1000 {
		a = a.Next()
		for range 10 {
			n.wait(a, make([]byte, 100))
		}
	}
	if n.waiting > maxWaitingAll || asked != len(n.pending) || asked == 0 {
		t.Errorf("%d packets wait for %d neighbours, %d were asked", n.waiting, len(n.pending), asked)
	}
	n.close()
	if n.waiting != 0 || n.wait(a, nil) {
		t.Errorf("%d packets wait after close", n.waiting)
	}
}
