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

func TestRunCarriesTheCommand(t *testing.T) {
	cause := errors.New("off")
	err := fmt.Errorf("start: %w", problem.Run(cause, "sudo on"))
	if problem.CommandOf(err) != "sudo on" || problem.HintOf(err) != "run: sudo on" || !errors.Is(err, cause) {
		t.Errorf("command %q, hint %q of %v", problem.CommandOf(err), problem.HintOf(err), err)
	}
	if got := problem.CommandOf(problem.Hint(cause, "run: a; or b")); got != "" {
		t.Errorf("prose became the command %q", got)
	}
	if problem.Run(nil, "x") != nil {
		t.Error("a hint appeared from nothing")
	}
}
