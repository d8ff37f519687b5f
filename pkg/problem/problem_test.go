package problem_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/nook-containers/nook/pkg/problem"
)

func TestHintSurvivesWrapping(t *testing.T) {
	cause := errors.New("no ids")
	err := fmt.Errorf("map ids: %w", problem.Hint(cause, "run: usermod %s", "-v"))
	if got := problem.HintOf(err); got != "run: usermod -v" {
		t.Errorf("HintOf = %q", got)
	}
	if !errors.Is(err, cause) || err.Error() != "map ids: no ids" {
		t.Errorf("the hint changed the error: %v", err)
	}
	if problem.Hint(nil, "x") != nil || problem.HintOf(cause) != "" {
		t.Error("a hint appeared from nothing")
	}
}
