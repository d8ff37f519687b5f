package netd

import (
	"testing"

	"github.com/nook-containers/nook/libpod/netd/member"
	"github.com/nook-containers/nook/libpod/spec"
)

// An address that cannot be read is no reason to listen on all of them.
func TestPortsOf(t *testing.T) {
	m := member.Member{IPv4: "10.99.0.2", IPv6: "fd01::2"}
	port := spec.Port{HostPort: 8080, ContainerPort: 80, Range: 2, Proto: spec.ProtoTCP}
	for _, tc := range []struct{ own, network, want spec.Addr }{
		{"", "", "invalid IP"}, // netip's word for none
		{"", "127.0.0.1", "127.0.0.1"},
		{"127.0.0.2", "127.0.0.1", "127.0.0.2"},
		{"127.0.0.1x", "", "error"},
		{"", "127.0.0.1x", "error"},
	} {
		port.HostIP = tc.own
		got, err := portsOf(spec.Network{HostIP: tc.network}, m, port)
		if err != nil || tc.want == "error" {
			if err == nil || tc.want != "error" {
				t.Errorf("%q: %v, %v", tc, got, err)
			}
			continue
		}
		if len(got) != 2 || got[1].HostIP.String() != string(tc.want) || got[1].HostPort != 8081 || got[1].GuestPort != 81 || len(got[1].Guest) != 2 {
			t.Errorf("%q: %v", tc, got)
		}
	}
}
