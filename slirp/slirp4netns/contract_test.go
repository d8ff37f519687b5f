package slirp4netns_test

import (
	"net/netip"
	"testing"

	"github.com/nook-containers/nook/slirp"
	"github.com/nook-containers/nook/slirp/slirp4netns"
	"github.com/nook-containers/nook/slirp/slirptest"
)

func TestMain(m *testing.M) { slirptest.Main(m) }

func TestContract(t *testing.T) {
	slirptest.Run(t, slirptest.Suite{
		Backend: slirp4netns.Backend{},
		Config: slirp.Config{IPv4: slirp.Subnet{
			Prefix: netip.MustParsePrefix("10.88.0.0/24"), Gateway: netip.MustParseAddr("10.88.0.2"),
		}},
		Guest: 98,
	})
}
