package netstack

import (
	"net/netip"
	"syscall"
	"testing"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// segment is a TCP segment of the stack from port, with its frame.
func segment(port uint16, flags header.TCPFlags, ack uint32, data string) (*stack.PacketBuffer, [][]byte) {
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{
		ReserveHeaderBytes: header.IPv4MinimumSize + header.TCPMinimumSize, Payload: buffer.MakeWithData([]byte(data)),
	})
	pkt.NetworkProtocolNumber, pkt.TransportProtocolNumber = header.IPv4ProtocolNumber, header.TCPProtocolNumber
	header.TCP(pkt.TransportHeader().Push(header.TCPMinimumSize)).Encode(&header.TCPFields{
		SrcPort: port, DstPort: 7, AckNum: ack, Flags: flags, DataOffset: header.TCPMinimumSize,
	})
	header.IPv4(pkt.NetworkHeader().Push(header.IPv4MinimumSize)).Encode(&header.IPv4Fields{
		SrcAddr: fromAddr(netip.MustParseAddr("203.0.113.10")), DstAddr: fromAddr(netip.MustParseAddr("10.88.0.2")),
	})
	return pkt, [][]byte{{byte(port)}, {byte(ack)}, []byte(data)}
}

// TestHeldAck wants an acknowledgement to be held while the loop looks, to be dropped
// for data that says the same, and to go first before everything else.
func TestHeldAck(t *testing.T) {
	const ack = header.TCPFlagAck
	type sent struct {
		port  uint16
		flags header.TCPFlags
		ack   uint32
		data  string
	}
	for name, c := range map[string]struct {
		segments []sent
		sleeps   bool
		want     []string // frames, in turn
	}{
		"held":               {segments: []sent{{1, ack, 5, ""}}},
		"until it sleeps":    {segments: []sent{{1, ack, 5, ""}}, sleeps: true, want: []string{"\x01\x05"}},
		"data says the same": {segments: []sent{{1, ack, 5, ""}, {1, ack | header.TCPFlagPsh, 5, "x"}}, want: []string{"\x01\x05x"}},
		"so does an end":     {segments: []sent{{1, ack, 5, ""}, {1, ack | header.TCPFlagFin, 5, ""}}, want: []string{"\x01\x05"}},
		"older data":         {segments: []sent{{1, ack, 5, ""}, {1, ack, 4, "x"}}, want: []string{"\x01\x05", "\x01\x04x"}},
		"another flow":       {segments: []sent{{1, ack, 5, ""}, {2, ack, 5, "x"}}, want: []string{"\x01\x05", "\x02\x05x"}},
		"a reset":            {segments: []sent{{1, ack, 5, ""}, {1, ack | header.TCPFlagRst, 5, ""}}, want: []string{"\x01\x05", "\x01\x05"}},
		"the same twice":     {segments: []sent{{1, ack, 5, ""}, {1, ack, 5, ""}}, sleeps: true, want: []string{"\x01\x05", "\x01\x05"}},
	} {
		t.Run(name, func(t *testing.T) {
			fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer syscall.Close(fds[0])
			defer syscall.Close(fds[1])
			l := &link{fds: []int{fds[0]}, stats: &counters{}}
			send := func(s sent) {
				pkt, frame := segment(s.port, s.flags, s.ack, s.data)
				defer pkt.DecRef()
				if !l.ack.hold(l, pkt, frame) {
					l.write(frame, 0)
				}
			}
			l.rest(true)
			for _, s := range c.segments {
				send(s)
			}
			if c.sleeps {
				l.rest(false)
			}
			var got []string
			for b := make([]byte, 10); ; {
				n, err := syscall.Read(fds[1], b)
				if n <= 0 || err != nil {
					break
				}
				got = append(got, string(b[:n]))
			}
			if len(got) != len(c.want) {
				t.Fatalf("%q, want %q", got, c.want)
			}
			for i := range got {
				if got[i] != c.want[i] {
					t.Errorf("%q, want %q", got, c.want)
				}
			}
			if c.sleeps { // nothing is held by one who sleeps
				pkt, frame := segment(1, ack, 6, "")
				defer pkt.DecRef()
				if l.ack.hold(l, pkt, frame) {
					t.Error("held while the loop sleeps")
				}
			}
		})
	}
}
