package netstack_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/nook-containers/nook/slirp/netstack"
	"github.com/nook-containers/nook/slirp/slirptest"
)

// TestCalm wants a network to tell of the first frame after each Calm, of no other,
// and to carry on as before; flows end in time though nobody looks while it is calm.
func TestCalm(t *testing.T) {
	var stirs atomic.Int32
	cfg := slirptest.Config()
	cfg.Limits.UDPIdle = 600 * time.Millisecond
	cfg.Stir = func() { stirs.Add(1) }
	guest, n := slirptest.Start(t, netstack.Backend{}, cfg)
	server := slirptest.Server().ListenPacket(t, "udp", slirptest.Far4+":0")
	ask := func() {
		t.Helper()
		c, err := guest.Dial(t.Context(), "udp", server.LocalAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write([]byte("here")); err != nil {
			t.Fatal(err)
		}
		if err := server.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, _, err := server.ReadFrom(make([]byte, 8)); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		before := stirs.Load()
		n.Calm()
		ask()
		told := stirs.Load()
		if told == before {
			t.Fatal("nobody was told of the first frame")
		}
		ask()
		if got := stirs.Load(); got != told {
			t.Errorf("told %d times, want %d: once is enough", got, told)
		}
		n.Calm()
		for deadline := time.Now().Add(20 * time.Second); n.Stats().UDP.Active != 0; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("flows: %+v", n.Stats().UDP)
			}
		}
	}
}
