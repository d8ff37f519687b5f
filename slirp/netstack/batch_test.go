package netstack

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"github.com/nook-containers/nook/slirp"
	"github.com/nook-containers/nook/slirp/forward"
	"github.com/nook-containers/nook/slirp/slirptest"
)

// TestBatch sends datagrams as the reader does, and wants each to arrive whole and
// in order, also where the route is too narrow for the kernel to cut them.
func TestBatch(t *testing.T) {
	for name, c := range map[string]struct {
		sizes  []int
		single bool
	}{
		"of one size":              {[]int{1000, 1000, 1000, 1000}, false},
		"of several sizes":         {[]int{1000, 1000, 7, 7, 7, 1000, 0, 1000, 9000, 1000}, false},
		"more than the kernel has": {hundred(200), false},
		"longer than the MTU":      {[]int{2000, 2000, 2000}, true},
	} {
		t.Run(name, func(t *testing.T) {
			srv := slirptest.Server().ListenPacket(t, "udp", slirptest.Far4+":0")
			conn, err := forward.DialUDP(netip.MustParseAddrPort(srv.LocalAddr().String()))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			n := &network{}
			n.udp.init(slirp.DefaultLimits())
			f := &udpFlow{conn: conn}
			if f.raw, err = conn.SyscallConn(); err != nil {
				t.Fatal(err)
			}
			for i, size := range c.sizes {
				p := bytes.Repeat([]byte{byte(i)}, size)
				n.toHost(f, [2][]byte{p[:size/2], p[size/2:]})
			}
			n.flush()
			_ = srv.SetReadDeadline(time.Now().Add(10 * time.Second))
			buf := make([]byte, 65536)
			total := uint64(0)
			for i, size := range c.sizes {
				got, err := srv.Read(buf)
				if err != nil {
					t.Fatalf("datagram %d: %v", i, err)
				}
				if want := bytes.Repeat([]byte{byte(i)}, size); !bytes.Equal(buf[:got], want) {
					t.Fatalf("datagram %d: %d bytes, %x..., want %d of %x", i, got, buf[:min(got, 4)], size, byte(i))
				}
				total += uint64(size)
			}
			if sent := n.stats.bytesOut.Load(); sent != total {
				t.Errorf("%d bytes are counted, want %d", sent, total)
			}
			if f.single != c.single {
				t.Errorf("one by one: %v, want %v", f.single, c.single)
			}
			if n.batch.buf != nil {
				t.Error("a buffer is kept")
			}
		})
	}
}

// hundred is a hundred datagrams of size bytes.
func hundred(size int) []int {
	sizes := make([]int, 100)
	for i := range sizes {
		sizes[i] = size
	}
	return sizes
}

// TestBatchRefused wants the refusal of an earlier datagram to cost one of those
// that wait, as it would without waiting, and no more.
func TestBatchRefused(t *testing.T) {
	srv := slirptest.Server().ListenPacket(t, "udp", slirptest.Far4+":0")
	at := srv.LocalAddr().String()
	conn, err := forward.DialUDP(netip.MustParseAddrPort(at))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	srv.Close()
	if _, err := conn.Write([]byte("x")); err != nil { // is refused, as the next call says
		t.Fatal(err)
	}
	srv = slirptest.Server().ListenPacket(t, "udp", at)
	config := slirptest.Config().WithDefaults()
	n := newNetwork(t.Context(), config, nil)
	if err := n.newStack(); err != nil {
		t.Fatal(err)
	}
	defer n.closeStack()
	n.link.closed = true // there is no TAP
	defer n.link.neigh.close()
	f := &udpFlow{conn: conn, key: udpKey{netip.MustParseAddrPort("10.88.0.2:1000"), netip.MustParseAddrPort(at)}}
	if f.raw, err = conn.SyscallConn(); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		n.toHost(f, [2][]byte{{byte(i)}})
	}
	n.flush()
	if n.stats.udp.failed.Load() != 1 {
		t.Errorf("%d refusals are told, want 1", n.stats.udp.failed.Load())
	}
	_ = srv.SetReadDeadline(time.Now().Add(10 * time.Second))
	for want := byte(1); want < 3; want++ {
		b := make([]byte, 10)
		if got, err := srv.Read(b); err != nil || got != 1 || b[0] != want {
			t.Fatalf("%x, %v, want %x", b[:max(got, 0)], err, want)
		}
	}
}
