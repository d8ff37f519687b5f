package netstack_test

import (
	"io"
	"sync/atomic"
	"testing"

	"github.com/nook-containers/nook/slirp/netstack"
	"github.com/nook-containers/nook/slirp/slirptest"
)

// TestBusy wants bulk data of a guest to be told as work for more than one processor,
// and a byte, and bulk data for it, not to be: one goroutine moves those.
func TestBusy(t *testing.T) {
	for name, c := range map[string]struct {
		size          int
		outward, want bool
	}{
		"a byte": {1, true, false}, "bulk out": {16 << 20, true, true}, "bulk in": {16 << 20, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			var told atomic.Bool
			cfg := slirptest.Config()
			cfg.Busy = func() { told.Store(true) }
			guest, _ := slirptest.Start(t, netstack.Backend{}, cfg)
			l := slirptest.Server().Listen(t, "tcp", slirptest.Far4+":0")
			client, err := guest.Dial(t.Context(), "tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			server, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			from, to := client, server
			if !c.outward {
				from, to = server, client
			}
			go func() {
				_, _ = from.Write(make([]byte, c.size))
				_ = from.(interface{ CloseWrite() error }).CloseWrite() //nolint:forcetypeassert // a TCP connection
			}()
			if n, err := io.Copy(io.Discard, to); n != int64(c.size) || err != nil {
				t.Fatalf("%d bytes, %v", n, err)
			}
			if told.Load() != c.want {
				t.Errorf("told: %v, want %v", told.Load(), c.want)
			}
		})
	}
}
