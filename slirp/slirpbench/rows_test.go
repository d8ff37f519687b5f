package slirpbench

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nook-containers/nook/slirp"
	"github.com/nook-containers/nook/slirp/slirptest"
)

// outside is where the server listens.
const outside = slirptest.Far4 + ":5201"

// A row measures a backend and returns a rate.
type row struct {
	name, unit string
	mtu        int
	published  bool
	run        func(b *testing.B, w *world) float64
}

func rows() []row {
	const big, ether = slirp.MaxMTU, 1500
	out := func(args ...string) func(*testing.B, *world) float64 {
		return func(b *testing.B, w *world) float64 { //nolint:thelper // a row, not a helper
			return iperf(b, w.guest, slirptest.Server(), slirptest.Router4, args)
		}
	}
	in := func(b *testing.B, w *world) float64 { //nolint:thelper // a row, not a helper
		return iperf(b, slirptest.Server(), w.guest, slirptest.Host4, nil)
	}
	return []row{
		{"TCP out", "Gbit/s", big, false, out()},
		{"TCP in, published port", "Gbit/s", big, true, in},
		{"UDP out, 1400 bytes", "Gbit/s", big, false, out("-u", "-b0", "-l1400")},
		{"connections out", "1000/s", big, false, connections},
		{"TCP round trips", "1000/s", big, false, roundTrips},
		{"TCP out, reverse", "Gbit/s", big, false, out("-R")},
		{"TCP out, 8 streams", "Gbit/s", big, false, out("-P8")},
		{"TCP out, MTU 1500", "Gbit/s", ether, false, out()},
		{"UDP out, reverse", "Gbit/s", big, false, out("-u", "-b0", "-l1400", "-R")},
	}
}

// connections opens and closes connections, four at a time.
func connections(b *testing.B, w *world) float64 {
	b.Helper()
	l := slirptest.Server().Listen(b, "tcp", outside)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	var count atomic.Int64
	var clients sync.WaitGroup
	until := time.Now().Add(*round)
	for range 4 {
		clients.Go(func() {
			_ = w.guest.Do(func() error {
				for time.Now().Before(until) {
					c, err := net.Dial("tcp", outside)
					if err != nil {
						return err
					}
					_, _ = io.Copy(io.Discard, c)
					c.Close()
					count.Add(1)
				}
				return nil
			})
		})
	}
	clients.Wait()
	return float64(count.Load()) / round.Seconds() / 1000
}

// roundTrips sends a byte there and back.
func roundTrips(b *testing.B, w *world) float64 {
	b.Helper()
	l := slirptest.Server().Listen(b, "tcp", outside)
	c, err := w.guest.Dial(b.Context(), "tcp", outside)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	s, err := l.Accept()
	if err != nil {
		b.Fatal(err)
	}
	go func() {
		defer s.Close()
		buf := make([]byte, 1)
		for {
			if _, err := s.Read(buf); err != nil {
				return
			}
			_, _ = s.Write(buf)
		}
	}()
	count, buf := 0, make([]byte, 1)
	for until := time.Now().Add(*round); time.Now().Before(until); count++ {
		if _, err := c.Write(buf); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(c, buf); err != nil {
			b.Fatal(err)
		}
	}
	return float64(count) / round.Seconds() / 1000
}
