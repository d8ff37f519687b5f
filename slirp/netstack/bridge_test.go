package netstack_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/nook-containers/nook/pkg/sys/inet"
	"github.com/nook-containers/nook/slirp"
	"github.com/nook-containers/nook/slirp/netstack"
	"github.com/nook-containers/nook/slirp/slirptest"
)

// TestBridge puts the TAP, with two queues, on a bridge beside two guests: both
// reach the outside and each other, and the stack keeps out of the latter.
func TestBridge(t *testing.T) {
	net := slirptest.NewNS(t)
	tap := slirptest.OpenTAP(t, net, "tap0", 2)
	up := inet.LinkSetting{Up: true}
	net.MustConfigure(t, func(nl *inet.Netlink) error {
		return errors.Join(nl.AddBridge("br0"), nl.SetLink("br0", up), nl.SetLink("tap0", inet.LinkSetting{Up: true, Master: "br0"}))
	})
	cfg := slirptest.Config()
	cfg.MTU = 1500
	n, err := netstack.Backend{}.Start(t.Context(), slirp.Link{TAP: tap}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	cfg = cfg.WithDefaults()
	var guests []*slirptest.NS
	for i := 1; i <= 2; i++ {
		g := slirptest.NewNS(t)
		port := fmt.Sprintf("port%d", i)
		net.MustConfigure(t, func(nl *inet.Netlink) error {
			return errors.Join(nl.AddVeth(port, "eth0", g.File()), nl.SetLink(port, inet.LinkSetting{Up: true, Master: "br0"}))
		})
		slirptest.Address(t, g, "eth0", cfg, i)
		guests = append(guests, g)
	}
	exchange := func(from *slirptest.NS, at *slirptest.NS, addr string) {
		t.Helper()
		l := at.Listen(t, "tcp", addr)
		go func() {
			if c, err := l.Accept(); err == nil {
				_, _ = io.Copy(c, c)
				c.Close()
			}
		}()
		c, err := from.Dial(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		want := make([]byte, 300_000)
		go func() { _, _ = c.Write(want) }()
		if _, err := io.ReadFull(c, make([]byte, len(want))); err != nil {
			t.Errorf("%s: %v", addr, err)
		}
	}
	for _, g := range guests {
		exchange(g, slirptest.Server(), slirptest.Far4+":0")
		exchange(g, slirptest.Server(), "["+slirptest.Far6+"]:0")
	}
	before := n.Stats().TCP
	exchange(guests[0], guests[1], slirptest.GuestAddr(cfg.IPv4, 2).String()+":0")
	exchange(guests[1], guests[0], "["+slirptest.GuestAddr(cfg.IPv6, 1).String()+"]:0")
	if after := n.Stats().TCP; after.Opened != before.Opened || after.Denied != before.Denied {
		t.Errorf("the stack had a part in it: %+v, before %+v", after, before)
	}
}
