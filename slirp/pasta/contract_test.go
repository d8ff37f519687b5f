package pasta_test

import (
	"testing"

	"github.com/nook-containers/nook/slirp/pasta"
	"github.com/nook-containers/nook/slirp/slirptest"
)

func TestMain(m *testing.M) { slirptest.Main(m) }

func TestContract(t *testing.T) {
	slirptest.Run(t, slirptest.Suite{Backend: pasta.Backend{Interface: "up0"}})
}
