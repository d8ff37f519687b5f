package relay

import (
	"io"
	"net"
	"testing"
)

// FuzzSegments has a guest send what it likes on one connection. Each four bytes say how
// far a segment is from where it should be, what it acknowledges, its flags, and how long
// it is. What the guest is sent stays in its window, and what is held for the host in ours.
func FuzzSegments(f *testing.F) {
	f.Add([]byte{0, 0, flagACK, 5, 3, 0, flagACK, 5, 0, 0, flagACK | flagFIN, 2})
	f.Add([]byte{200, 9, flagACK, 250, 0, 0, flagRST, 0, 1, 1, flagSYN, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		w := newWorld(t, func(c *Config) { c.Budget = 256 << 10 })
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		w.setDst(l)
		go func() {
			defer l.Close()
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			_, _ = c.Write(make([]byte, 5000))
			_, _ = io.CopyN(io.Discard, c, 100)
		}()
		p := w.dial(2000)
		for ; len(b) >= 4; b = b[4:] {
			s := seg{seq: p.nxt + seq(int8(b[0])), ack: p.rcv + seq(int8(b[1])), flags: b[2], window: 2000, data: string(make([]byte, int(b[3])))} //nolint:gosec // a test's
			w.send(s)
			if b[3]&1 == 0 {
				p.nxt += seq(b[3])
			}
			w.do(func() {
				for len(w.out) > 0 {
					g := <-w.out
					p.rcv = g.seq + seq(len(g.data)) //nolint:gosec // a test's
				}
				if f := w.r.flows[key{guest, remote}]; f != nil {
					f.check(t)
				}
			})
		}
		w.do(func() { w.r.Abandon(nil) })
	})
}

// check wants f to be in order.
func (f *flow) check(t *testing.T) {
	t.Helper()
	ahead := 0
	for i := range f.ahead {
		p := &f.ahead[i]
		if ahead += len(p.data); p.from.after(f.rcvNxt) <= 0 || p.to().after(f.edge) > 0 || i > 0 && f.ahead[i-1].to().after(p.from) >= 0 {
			t.Errorf("piece %d is from %d to %d, at %d", i, p.from, p.to(), f.rcvNxt)
		}
	}
	if n := len(f.held) + ahead; n > f.limit() {
		t.Errorf("%d bytes are held, at most %d may be", n, f.limit())
	}
	if n := f.nxt.after(f.una); f.state == open && (n < 0 || n > f.r.share+1) {
		t.Errorf("%d bytes are on their way", n)
	}
	for _, s := range f.sent {
		if s.to.after(f.una) <= 0 || s.to.after(f.nxt) > 0 {
			t.Errorf("kept from %d to %d, with %d to %d on their way", s.from, s.to, f.una, f.nxt)
		}
	}
}
