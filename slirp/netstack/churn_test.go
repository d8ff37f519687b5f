package netstack_test

import (
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/nook-containers/nook/slirp"
	"github.com/nook-containers/nook/slirp/netstack"
	"github.com/nook-containers/nook/slirp/slirptest"
)

// held is what a network holds that connections could leave behind.
type held struct{ flows, descriptors, goroutines int }

func holds(t *testing.T, n slirp.Network) held {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return held{n.Stats().TCP.Active, len(fds), runtime.NumGoroutine()}
}

// TestNothingStays opens connections one after the other, many times, and then many at
// once, ends them in each of the ways that there are, and wants nothing to stay of them.
func TestNothingStays(t *testing.T) {
	const inARow, atOnce = 2000, 400
	cfg := slirptest.Config()
	cfg.Limits.TCPFlows, cfg.Limits.TCPHalfOpen = 2*atOnce, 2*atOnce
	guest, n := slirptest.Start(t, netstack.Backend{}, cfg)
	l := slirptest.Server().Listen(t, "tcp", slirptest.Far4+":0")
	go answer(l)
	talk(t, guest, l, 0)
	before := holds(t, n)
	for i := range inARow {
		talk(t, guest, l, i)
	}
	var all sync.WaitGroup
	open := make(chan struct{})
	var ready sync.WaitGroup
	for i := range atOnce {
		ready.Add(1)
		all.Go(func() {
			c, err := guest.Dial(t.Context(), "tcp", l.Addr().String())
			ready.Done()
			if err != nil {
				t.Error(err)
				return
			}
			<-open
			finish(c, i)
		})
	}
	ready.Wait()
	await(t, n, "all at once", func(now held) bool { return now.flows >= atOnce })
	close(open)
	all.Wait()
	await(t, n, "nothing but what was at first", func(now held) bool {
		return now.flows == 0 && now.descriptors <= before.descriptors && now.goroutines <= before.goroutines+2
	})
}

// await waits until n holds what is wanted. A few of its goroutines wait for the next
// connection, for a second.
func await(t *testing.T, n slirp.Network, what string, ok func(held) bool) {
	t.Helper()
	var now held
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if now = holds(t, n); ok(now) {
			return
		}
	}
	t.Errorf("%+v, want %s", now, what)
}

// answer sends a byte to each client, and back what it sends.
func answer(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			_, _ = c.Write([]byte{1})
			_, _ = io.Copy(c, c)
		}()
	}
}

func talk(t *testing.T, guest *slirptest.NS, l net.Listener, how int) {
	t.Helper()
	c, err := guest.Dial(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	finish(c, how)
}

// finish ends c: after a question and its answer, with a reset, or half first.
func finish(c net.Conn, how int) {
	defer c.Close()
	tcp := c.(*net.TCPConn) //nolint:forcetypeassert // a TCP connection
	b := make([]byte, 1)
	_, _ = io.ReadFull(c, b)
	switch how % 3 {
	case 0:
		_, _ = c.Write(b)
		_, _ = io.ReadFull(c, b)
	case 1:
		_ = tcp.SetLinger(0)
	case 2:
		_ = tcp.CloseWrite()
		_, _ = io.Copy(io.Discard, c)
	}
}
