package relay

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nook-containers/nook/slirp/forward"
)

func TestOptions(t *testing.T) {
	for name, c := range map[string]struct {
		header     []byte
		mss, scale int
		sack       bool
	}{
		"none":      {header(), defaultMSS, -1, false},
		"all":       {header(2, 4, 5, 180, 1, 3, 3, 7, 4, 2, 1, 1), 1460, 7, true},
		"too small": {header(2, 4, 0, 1), minMSS, -1, false},
		"too large": {header(3, 3, 200, 0), defaultMSS, maxScale, false},
		"cut":       {header(1, 1, 1, 2), defaultMSS, -1, false},
		"too long":  {header(2, 40, 5, 180), defaultMSS, -1, false},
		"no length": {header(8, 0, 4, 2), defaultMSS, -1, false},
		"after end": {header(0, 3, 3, 7), defaultMSS, -1, false},
	} {
		s := Segment{Header: c.header}
		if mss, scale, sack := s.options(); mss != c.mss || scale != c.scale || sack != c.sack {
			t.Errorf("%s: %d, %d, %v; want %d, %d, %v", name, mss, scale, sack, c.mss, c.scale, c.sack)
		}
	}
	for _, b := range [][]byte{nil, make([]byte, headerLen-1), make([]byte, headerLen), header(1, 1, 1, 1)[:headerLen]} {
		if Header(b) != nil {
			t.Errorf("% x is a header", b)
		}
	}
}

// TestCarries moves bytes both ways, ends each direction by itself, and wants the end to
// be remembered.
func TestCarries(t *testing.T) {
	w := newWorld(t, nil)
	p, host := w.connect(30000)
	p.send(0, "question")
	b := make([]byte, 100)
	if n, err := host.Read(b); string(b[:n]) != "question" {
		t.Fatalf("%q, %v", b[:n], err)
	}
	if s := w.want(flagACK, ""); s.ack != p.nxt || s.window<<ourScale != maxWindow {
		t.Fatalf("%+v", s)
	}
	if _, err := host.Write([]byte("answer")); err != nil {
		t.Fatal(err)
	}
	p.take("answer")

	if err := host.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	w.want(flagFIN|flagACK, "")
	p.rcv++
	p.send(flagPSH, "more")
	w.want(flagACK, "")
	if n, err := host.Read(b); string(b[:n]) != "more" {
		t.Fatalf("%q, %v", b[:n], err)
	}
	p.send(flagFIN, "last")
	if s := w.want(flagACK, ""); s.ack != p.nxt {
		t.Fatalf("%+v, want the end to be acknowledged", s)
	}
	if all, err := io.ReadAll(host); string(all) != "last" || err != nil {
		t.Fatalf("%q, %v", all, err)
	}
	if w.count(Closed) != 1 || w.r.Open.Count() != 0 {
		t.Error("it is still open")
	}

	// The guest did not hear that, and says it again; then it uses the port again.
	w.send(seg{seq: p.nxt - 1, ack: p.rcv, flags: flagFIN | flagACK})
	w.want(flagACK, "")
	if w.connect(30000); w.count(Opened) != 2 {
		t.Error("the port is not free")
	}
}

// TestGuestEndsFirst wants nothing to be remembered of a connection that a guest closed
// first: it does that itself.
func TestGuestEndsFirst(t *testing.T) {
	w := newWorld(t, nil)
	p, host := w.connect(30000)
	p.send(flagFIN, "")
	w.want(flagACK, "")
	if all, err := io.ReadAll(host); len(all) != 0 || err != nil {
		t.Fatalf("%q, %v", all, err)
	}
	if _, err := host.Write([]byte("late")); err != nil {
		t.Fatal(err)
	}
	p.take("late")
	host.Close()
	w.want(flagFIN|flagACK, "")
	p.rcv++
	p.send(0, "")
	w.none()
	if w.send(seg{seq: p.nxt, ack: p.rcv, flags: flagACK}) {
		t.Error("an acknowledgement of nothing was taken")
	}
}

// TestForgets wants the end of a connection to be forgotten soon.
func TestForgets(t *testing.T) {
	w := newWorld(t, nil)
	p, host := w.connect(30000)
	host.Close()
	w.want(flagFIN|flagACK, "")
	p.rcv++
	p.send(flagFIN, "")
	w.want(flagACK, "")
	w.do(func() {
		if w.r.kept != 1 {
			t.Errorf("%d ends are remembered, want 1", w.r.kept)
		}
	})
	for end := time.Now().Add(patient); time.Now().Before(end); time.Sleep(tick) {
		left, ticks := 1, true
		if w.do(func() { left, ticks = len(w.r.flows)+w.r.kept, w.r.ticks }); left == 0 && !ticks {
			return
		}
	}
	t.Error("it is remembered for ever")
}

// TestOutOfOrder sends what Linux sends when frames are lost, or acknowledgements, and
// what it does not send.
func TestOutOfOrder(t *testing.T) {
	w := newWorld(t, nil)
	p, host := w.connect(30000)
	const much = 1 << 20
	for _, c := range []struct {
		at, size, want int
		flags          byte
		blocks         []seq
	}{
		{at: 3, size: 3, want: 0, blocks: []seq{3, 6}}, // a gap
		{at: 3, size: 3, want: 0, blocks: []seq{3, 6}},
		{at: 8, size: 2, want: 0, blocks: []seq{8, 10, 3, 6}},
		{at: 2, size: 5, want: 0, blocks: []seq{2, 6, 8, 10}},
		{at: 5, size: 3, want: 0, blocks: []seq{2, 10}},
		{at: 12, size: 1, want: 0, blocks: []seq{12, 13, 2, 10}},
		{at: 0, size: 2, want: 10, blocks: []seq{12, 13}},
		{at: 0, size: 3, want: 10, blocks: []seq{12, 13}}, // again
		{at: 9, size: 6, want: 15},
		{at: 14, want: 15}, // a probe
		{at: 20, size: 2 * much, want: 15, blocks: []seq{20, 15 + much}},
		{at: 15, size: 2 * much, want: 15 + much}, // more than the window
		{at: 16 + much, flags: flagFIN, want: 15 + much},
		{at: 14 + much, size: 1, flags: flagFIN, want: 16 + much},
		{at: 16 + much, size: 5, want: 16 + much}, // after the end
		{at: 20 + much, size: 5, want: 16 + much},
	} {
		data := make([]byte, c.size)
		for i := range data {
			data[i] = byte(c.at + i)
		}
		at := p.nxt + seq(c.at)                                                                          //nolint:gosec // a test's
		w.send(seg{seq: at, ack: p.rcv, flags: c.flags | flagACK, window: p.window, data: string(data)}) //nolint:gosec // a test's
		s := w.want(flagACK, "")
		for i := range s.blocks {
			s.blocks[i] -= p.nxt
		}
		if got := int(s.ack - p.nxt); got != c.want || !slices.Equal(s.blocks, c.blocks) {
			t.Errorf("%d from %d: %d and %d are acknowledged, want %d and %d", c.size, c.at, got, s.blocks, c.want, c.blocks)
		}
	}
	all, err := io.ReadAll(host)
	if err != nil || len(all) != 15+much {
		t.Errorf("%d bytes, %v; want %d", len(all), err, 15+much)
	}
	for i, b := range all {
		if b != byte(i) {
			t.Fatalf("byte %d is %d", i, b)
		}
	}
}

// TestManyGaps wants what comes after many gaps to be bounded.
func TestManyGaps(t *testing.T) {
	w := newWorld(t, nil)
	p, _ := w.connect(30000)
	for i := range 3 * maxAhead {
		w.send(seg{seq: p.nxt + seq(2*i+1), ack: p.rcv, flags: flagACK, window: p.window, data: "x"}) //nolint:gosec // a test's
		if s := w.want(flagACK, ""); len(s.blocks) != 2*min(i+1, maxBlocks) {
			t.Fatalf("%d blocks after %d gaps", len(s.blocks)/2, i+1)
		}
	}
	w.do(func() {
		if n := len(w.r.flows[key{guest, remote}].ahead); n != maxAhead {
			t.Errorf("%d pieces are kept, want %d", n, maxAhead)
		}
	})
}

// TestSentAgain drops segments on their way to the guest.
func TestSentAgain(t *testing.T) {
	w := newWorld(t, nil)
	p, host := w.connect(30000)
	all := strings.Repeat("0123456789", 500)
	if _, err := host.Write([]byte(all)); err != nil {
		t.Fatal(err)
	}
	first := w.next()
	for n := len(first.data); n < len(all); {
		n += len(w.next().data)
	}
	// Nobody acknowledges.
	if s := w.next(); s.seq != first.seq || s.data != first.data {
		t.Fatalf("%d %.20q, want the first segment again", s.seq-first.seq, s.data)
	}
	// Half of it is: the rest is sent at once, for it is missing as well.
	p.rcv += seq(len(first.data) / 2) //nolint:gosec // a test's
	p.send(0, "")
	w.atOnce()
	if s := w.next(); s.seq != first.seq || s.data != first.data {
		t.Fatalf("%d %.20q, want the first segment again", s.seq-first.seq, s.data)
	}
	p.rcv = first.seq + seq(len(all)) //nolint:gosec // a test's
	p.send(0, "")

	// What comes later reaches the guest, and it says so three times.
	if _, err := host.Write([]byte("lost")); err != nil {
		t.Fatal(err)
	}
	w.want(flagPSH|flagACK, "lost")
	for range 3 {
		w.send(seg{seq: p.nxt, ack: p.rcv, flags: flagACK, window: p.window})
	}
	w.atOnce()
	p.take("lost")
	host.Close()
	w.want(flagFIN|flagACK, "")
	w.want(flagFIN|flagACK, "")
	p.rcv++
	p.send(0, "")
	w.send(seg{seq: p.nxt, ack: p.rcv + 5, flags: flagACK, window: p.window}) // of what nobody sent
	if s := w.want(flagACK, ""); s.seq != p.rcv {
		t.Errorf("%+v", s)
	}
}

// TestWindow wants a guest to get as much as it has room for, and to be asked whether it
// has some.
func TestWindow(t *testing.T) {
	w := newWorld(t, nil)
	p, host := w.connect(1500)
	all := strings.Repeat("x", 5000)
	if _, err := host.Write([]byte(all)); err != nil {
		t.Fatal(err)
	}
	for flying := 0; flying < 1500; {
		n := len(w.next().data)
		if n > 750 {
			t.Fatalf("%d bytes at once for a window of 1500", n)
		}
		flying += n
		p.rcv += seq(n) //nolint:gosec // a test's
	}
	w.nothing()
	p.window = 0
	p.send(0, "")
	if s := w.want(flagACK, ""); s.seq != p.rcv-1 {
		t.Errorf("%+v, want a question", s)
	}
	p.send(0, "")
	p.window = 30000
	p.send(0, "")
	got := 0
	for got < 3500 {
		s := w.next()
		if s.data == "" {
			continue // one more question
		}
		if s.seq != p.rcv {
			t.Fatalf("%d, want %d", s.seq, p.rcv)
		}
		got += len(s.data)
		p.rcv += seq(len(s.data)) //nolint:gosec // a test's
		p.send(0, "")
	}
}

// TestSlowHost wants what the host does not take to be bounded, and all of it to arrive.
func TestSlowHost(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Budget = 256 << 10 })
	p, host := w.connect(30000)
	chunk := strings.Repeat("0123456789", 100)
	window, sent := 65535, 0
	for window > 0 {
		data := chunk[:min(len(chunk), window)]
		p.send(0, data)
		sent += len(data)
		s := w.want(flagACK, "")
		window = s.window << ourScale
		if rest := int(p.nxt - s.ack); rest >= 1<<ourScale || rest > 0 && window > 0 {
			t.Fatalf("%d bytes were not taken, and the window is %d", rest, window)
		}
		sent -= int(p.nxt - s.ack) // windows are told in steps
		p.nxt = s.ack
		if sent > 256<<20 {
			t.Fatal("nobody reads, and yet it takes all")
		}
	}
	var held int
	if w.do(func() { held = len(w.r.flows[key{guest, remote}].held) }); held == 0 || held > 128<<10 {
		t.Errorf("%d bytes are held, want up to half of the budget", held)
	}
	got := make(chan int)
	go func() {
		n, _ := io.Copy(io.Discard, host)
		got <- int(n)
	}()
	if s := w.want(flagACK, ""); s.window == 0 {
		t.Error("the guest does not hear of room")
	}
	p.send(flagFIN, "")
	if n := <-got; n != sent {
		t.Errorf("%d bytes of %d", n, sent)
	}
}

// TestWindowStays wants a guest to have the room that it was told of, when what a
// connection may hold becomes less.
func TestWindowStays(t *testing.T) {
	w := newWorld(t, nil)
	p, _ := w.connect(30000)
	edge := func() seq {
		p.send(0, "x")
		s := w.want(flagACK, "")
		return s.ack + seq(s.window)<<ourScale //nolint:gosec // at most 30 bits
	}
	before := edge()
	w.do(func() { w.r.opened(10000) })
	if now := edge(); before.after(now) >= 1<<ourScale {
		t.Errorf("the window takes back %d bytes", before.after(now))
	}
	w.do(func() { w.r.opened(-10000) })
}

// TestResets carries resets, and does not believe those of others.
func TestResets(t *testing.T) {
	w := newWorld(t, nil)
	p, host := w.connect(30000)
	w.send(seg{seq: p.nxt + 5, flags: flagRST}) // somebody guessed
	w.want(flagACK, "")
	w.send(seg{seq: p.nxt - 5, flags: flagRST})
	w.send(seg{seq: p.nxt + 5, flags: flagSYN, mss: 1000})
	w.want(flagACK, "")
	w.send(seg{seq: p.nxt, flags: 0, data: "x"}) // belongs to nothing
	w.nothing()
	w.send(seg{seq: p.nxt, flags: flagRST})
	if _, err := host.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%v, want a reset", err)
	}

	p, host = w.connect(30000)
	if err := host.SetLinger(0); err != nil {
		t.Fatal(err)
	}
	host.Close()
	if s := w.want(flagRST|flagACK, ""); s.seq != p.rcv || s.ack != p.nxt {
		t.Errorf("%+v", s)
	}
	w.none()

	// A reset that comes after the end of what the host sends.
	p, host = w.connect(30000)
	if err := host.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	w.want(flagFIN|flagACK, "")
	p.rcv++
	p.send(0, "")
	if err := host.SetLinger(0); err != nil {
		t.Fatal(err)
	}
	host.Close()
	w.want(flagRST|flagACK, "")
	w.none()
}

// TestAnswersAgain loses our SYN, and takes one that comes twice for one.
func TestAnswersAgain(t *testing.T) {
	w := newWorld(t, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	w.setDst(l)
	syn := seg{seq: 7, flags: flagSYN, window: 1000}
	w.send(syn)
	first := w.want(flagSYN|flagACK, "")
	if first.scale != -1 || first.sack {
		t.Errorf("options that the guest does not have: %+v", first)
	}
	if w.send(syn); !reflect.DeepEqual(w.next(), first) {
		t.Error("another answer")
	}
	if !reflect.DeepEqual(w.next(), first) {
		t.Error("another answer after a while")
	}
	w.send(seg{seq: 8, ack: first.seq + 9, flags: flagACK})
	w.want(flagACK, "")
	w.send(seg{seq: 8, flags: flagRST})
	w.none()
}

// TestLimits wants the gates to be asked, and connections to share the budget.
func TestLimits(t *testing.T) {
	w := newWorld(t, func(c *Config) {
		c.Half, c.Open, c.Budget = forward.NewGate(1, 1), forward.NewGate(1, 1), 1<<20
	})
	if w.r.share != 512<<10 {
		t.Errorf("%d bytes for the first, want half of the budget", w.r.share)
	}
	w.do(func() { w.r.opened(100) })
	if w.r.share != minShare {
		t.Errorf("%d bytes for one of 100, want the least, %d", w.r.share, minShare)
	}
	w.do(func() { w.r.opened(-100) })
	w.connect(30000)
	other := netip.AddrPortFrom(remote.Addr(), 81)
	ask := func(want int) {
		t.Helper()
		w.do(func() { w.r.Segment(&Segment{Guest: guest, Remote: other, Header: header()[:headerLen:headerLen]}) })
		h := header()
		h[13] = flagSYN
		w.do(func() { w.r.Segment(&Segment{Guest: guest, Remote: other, Header: h}) })
		if got := w.count(Limited); got != want || len(w.icmp) != 1 || w.icmp[0] != forward.Dropped {
			t.Errorf("%d were refused, %v; want %d", got, w.icmp, want)
		}
		w.nothing()
	}
	ask(1) // one is open
	w.r.Half.Enter(guest.Addr())
	ask(2) // one is being opened
	w.r.Half.Leave(guest.Addr())
	client := w.client(func(fd int) { w.r.Call(fd, remote, guest, w) })
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%v, want a reset", err)
	}
	w.nothing()
	if n := w.r.Open.Count(); n != 1 {
		t.Errorf("%d are open, want 1", n)
	}
}
