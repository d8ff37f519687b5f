package relay

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
)

// client has call take over the socket of a client of the host.
func (w *world) client(call func(fd int)) *net.TCPConn {
	w.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	s, err := l.Accept()
	if err != nil {
		w.t.Fatal(err)
	}
	defer s.Close()
	fd := takeFD(w.t, s)
	w.do(func() { call(fd) })
	return c.(*net.TCPConn) //nolint:forcetypeassert // a TCP connection
}

// call has a client of the host call the guest.
func (w *world) call(from netip.AddrPort) (client *net.TCPConn, syn seg) {
	w.t.Helper()
	client = w.client(func(fd int) { w.r.Call(fd, from, guest, w) })
	syn = w.want(flagSYN, "")
	if syn.mss != mtu-40 || syn.scale != ourScale || !syn.sack {
		w.t.Fatalf("%+v", syn)
	}
	return client, syn
}

// TestCall has clients call a guest that accepts, refuses, and is silent.
func TestCall(t *testing.T) {
	w := newWorld(t, nil)
	client, syn := w.call(remote)
	if _, err := client.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	w.send(seg{seq: 70, ack: syn.seq + 9, flags: flagACK}) // of an older connection
	if s := w.want(flagRST, ""); s.seq != syn.seq+9 {
		t.Errorf("%+v", s)
	}
	p := &peer{world: w, nxt: 80, rcv: syn.seq + 1, window: 1000}
	w.send(seg{seq: p.nxt - 1, ack: p.rcv, flags: flagSYN | flagACK, window: 1000, mss: 1000, scale: 0})
	if s := w.want(flagACK, ""); s.ack != p.nxt {
		t.Errorf("%+v", s)
	}
	p.take("hello")
	w.send(seg{seq: p.nxt - 1, ack: p.rcv, flags: flagSYN | flagACK, window: 1000, mss: 1000}) // it did not hear us
	w.want(flagACK, "")
	p.send(flagFIN, "welcome")
	w.want(flagACK, "")
	if all, err := io.ReadAll(client); string(all) != "welcome" || err != nil {
		t.Errorf("%q, %v", all, err)
	}
	client.Close()
	w.want(flagFIN|flagACK, "")
	p.rcv++
	p.send(0, "")

	refused, syn := w.call(remote)
	w.send(seg{ack: syn.seq + 1, flags: flagRST | flagACK})
	away, _ := w.call(remote)
	w.do(func() { w.r.Away(guest.Addr()) })
	w.want(flagRST|flagACK, "")
	closed, _ := w.call(remote)
	w.do(func() { w.r.Abandon(w) })
	w.want(flagRST|flagACK, "")
	for name, c := range map[string]*net.TCPConn{"refused": refused, "away": away, "abandoned": closed} {
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s: %v, want a reset", name, err)
		}
	}
	w.none()
	if n := w.count(Failed); n != 2 {
		t.Errorf("%d failed, want 2", n)
	}
}

// TestCallAtOneTime has two clients with one address and port.
func TestCallAtOneTime(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.CallWait = 2 * tick })
	first, _ := w.call(remote)
	second, _ := w.call(remote)
	w.do(func() {
		if n := len(w.r.flows); n != 2 {
			t.Errorf("%d connections, want 2", n)
		}
	})
	for _, c := range []*net.TCPConn{first, second} { // the guest is silent
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%v, want a reset", err)
		}
	}
}
