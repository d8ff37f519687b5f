package monitor

import (
	"testing"

	"github.com/nook-containers/nook/pkg/pack/packtest"
)

func TestBriefArrives(t *testing.T) { packtest.RoundTrip[brief](t) }

func TestHandoverArrives(t *testing.T) { packtest.RoundTrip[Handover](t) }
