package plan_test

import (
	"testing"

	"github.com/nook-containers/nook/pkg/oci/plan"
	"github.com/nook-containers/nook/pkg/pack/packtest"
)

func TestPlanArrives(t *testing.T) { packtest.RoundTrip[plan.Plan](t) }
