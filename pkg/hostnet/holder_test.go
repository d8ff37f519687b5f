package hostnet

import (
	"net"
	"net/netip"
	"os"
	"testing"
)

func TestFindHolder(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	port := portOf(l.Addr())
	for proto, p := range map[string]uint16{"tcp": port, "udp": portOf(u.LocalAddr())} {
		h, ok := FindHolder(proto, p)
		if !ok || h.PID != os.Getpid() || h.UID != os.Getuid() || h.Name == "" {
			t.Errorf("%s: %+v, %v; want this process", proto, h, ok)
		}
	}
	// One end of a connection does not listen.
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	l.Close()
	if h, ok := FindHolder("tcp", portOf(c.LocalAddr())); ok {
		t.Errorf("a client's port: %+v", h)
	}
	if h, ok := FindHolder("tcp", port); ok {
		t.Errorf("nobody: %+v", h)
	}
}

func portOf(a net.Addr) uint16 { return netip.MustParseAddrPort(a.String()).Port() }

func FuzzParseSocket(f *testing.F) {
	f.Add("   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 12345 1 0 100 0 0 10 0", uint16(8080))
	f.Fuzz(func(t *testing.T, line string, port uint16) {
		if _, inode, ok := parseSocket(line, true, port); ok && inode == "" {
			t.Error("found nothing")
		}
	})
}
