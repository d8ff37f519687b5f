package slirptest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/nook-containers/nook/pkg/sys/inet"
	"github.com/nook-containers/nook/slirp"
)

// echoUDP answers on c until it is closed.
func echoUDP(c *net.UDPConn) {
	b := make([]byte, 65536)
	for {
		n, from, err := c.ReadFromUDPAddrPort(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			_, _ = c.WriteToUDPAddrPort(b[:n], from)
		}
	}
}

// ask sends b on c until the same comes back: datagrams may be lost.
func ask(t *testing.T, c net.Conn, b []byte) {
	t.Helper()
	got := make([]byte, 65536)
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if _, err := c.Write(b); err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(time.Second))
		n, err := c.Read(got)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			continue
		}
		if err != nil || !bytes.Equal(got[:n], b) {
			t.Fatalf("%d bytes came back, %v; want the %d that were sent", n, err, len(b))
		}
		return
	}
	t.Fatalf("%d bytes: no answer", len(b))
}

func testUDP(t *testing.T, s Suite) {
	for _, mtu := range []int{slirp.MaxMTU, 1500} {
		cfg := s.Config
		cfg.MTU = mtu
		cfg.Host.Addrs = !s.Backend.Features().HostAddrs
		guest, _ := s.start(t, cfg)
		for _, f := range s.families() {
			sizes := []int{1, 1400}
			if s.Backend.Features().ManyGuests { // the programs drop fragments
				sizes = append(sizes, 0, 1472, 1473, 9000, 65000)
			}
			for _, size := range sizes {
				t.Run(fmt.Sprintf("%s MTU %d size %d", f.name, mtu, size), func(t *testing.T) {
					srv := Server().ListenPacket(t, "udp", join(f.far, "0"))
					go echoUDP(srv)
					ask(t, dial(t, guest, "udp", srv.LocalAddr().String()), noise(7, size))
				})
			}
		}
	}
}

func testUDPRefusals(t *testing.T, s Suite) {
	guest, _ := s.start(t, s.Config)
	for _, f := range s.families() {
		for addr, want := range map[string][]syscall.Errno{
			join(f.far, "9"):                     {syscall.ECONNREFUSED},
			join(f.subnet.Gateway.String(), "9"): {syscall.ECONNREFUSED},
			join(f.nowhere, "9"):                 {syscall.EHOSTUNREACH, syscall.ENETUNREACH},
		} {
			t.Run(f.name+" "+addr, func(t *testing.T) {
				c := dial(t, guest, "udp", addr).(*net.UDPConn)
				if err := withErrors(c, netip.MustParseAddrPort(addr).Addr()); err != nil {
					t.Fatal(err)
				}
				eventually(t, fmt.Sprint(want), func() bool {
					_, err := c.Write([]byte("anybody?"))
					if err == nil {
						_ = c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
						_, err = c.Read(make([]byte, 10))
					}
					for _, w := range want {
						if errors.Is(err, w) {
							return true
						}
					}
					return false
				})
			})
		}
	}
}

// withErrors makes a socket report every ICMP error.
func withErrors(c syscall.Conn, a netip.Addr) error {
	rc, err := c.SyscallConn()
	if err != nil {
		return err
	}
	return errors.Join(rc.Control(func(fd uintptr) { err = inet.WantErrors(int(fd), a) }), err)
}

func testUDPIdle(t *testing.T, s Suite) {
	cfg := s.Config
	cfg.Limits.UDPIdle = 300 * time.Millisecond
	guest, n := s.start(t, cfg)
	srv := Server().ListenPacket(t, "udp", join(Far4, "0"))
	go echoUDP(srv)
	c := dial(t, guest, "udp", srv.LocalAddr().String())
	ask(t, c, []byte("one"))
	if n.Stats().UDP.Opened == 0 {
		t.Errorf("counters: %+v", n.Stats().UDP)
	}
	eventually(t, "the flow ends", func() bool { return n.Stats().UDP.Active == 0 })
	ask(t, c, []byte("two"))
}

// ping sends an echo request of size bytes from ns and returns the reply or error.
func ping(ns *NS, dst netip.Addr, size int) (reply []byte, err error) {
	var f *os.File
	if err := ns.Do(func() (err error) {
		if err := os.WriteFile("/proc/sys/net/ipv4/ping_group_range", []byte("0 0"), 0); err != nil {
			return err
		}
		f, err = inet.OpenPing(dst)
		return err
	}); err != nil {
		return nil, err
	}
	defer f.Close()
	if err := withErrors(f, dst); err != nil {
		return nil, err
	}
	msg := append([]byte{8, 0, 0, 0, 0, 0, 0, 1}, noise(3, size)...)
	if dst.Is6() {
		msg[0] = 128
	}
	b := make([]byte, 65536)
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if _, err := f.Write(msg); err != nil {
			return nil, err
		}
		_ = f.SetReadDeadline(time.Now().Add(time.Second))
		n, err := f.Read(b)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return b[:max(n, 0)], err
		}
	}
	return nil, os.ErrDeadlineExceeded
}

func testPing(t *testing.T, s Suite) {
	cfg := s.Config
	cfg.MTU = 1500
	cfg.Host.Addrs = !s.Backend.Features().HostAddrs
	guest, _ := s.start(t, cfg)
	sizes := []int{0, 56}
	if s.Backend.Features().ManyGuests {
		sizes = append(sizes, 4000)
	}
	for _, f := range s.families() {
		for _, dst := range []string{f.far, f.subnet.Gateway.String()} {
			if dst != f.far && !s.Backend.Features().ManyGuests {
				continue
			}
			for _, size := range sizes {
				got, err := ping(guest, netip.MustParseAddr(dst), size)
				if err != nil || len(got) != 8+size || got[0] != 0 && got[0] != 129 ||
					binary.BigEndian.Uint16(got[6:]) != 1 || !bytes.Equal(got[8:], noise(3, size)) {
					t.Errorf("ping %s with %d bytes: %d bytes, %v", dst, size, len(got), err)
				}
			}
		}
		if !s.Backend.Features().Refusals {
			continue
		}
		for _, dst := range []string{f.nowhere, f.host} {
			if _, err := ping(guest, netip.MustParseAddr(dst), 56); !errors.Is(err, syscall.EHOSTUNREACH) && !errors.Is(err, syscall.ENETUNREACH) {
				t.Errorf("ping %s: %v, want unreachable", dst, err)
			}
		}
	}
}
