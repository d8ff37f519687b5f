package container

import (
	"testing"

	"github.com/nook-containers/nook/pkg/pack/packtest"
)

func TestCallArrives(t *testing.T) { packtest.RoundTrip[call](t) }
