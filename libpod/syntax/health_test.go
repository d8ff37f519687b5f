package syntax

import (
	"slices"
	"testing"
	"time"

	"github.com/nook-containers/nook/libpod/spec"
)

func TestHealthCommand(t *testing.T) {
	for in, want := range map[string][]string{
		"none":                    {"NONE"},
		`["NONE"]`:                {"NONE"},
		"curl -f x || exit 1":     {"CMD-SHELL", "curl -f x || exit 1"},
		"true":                    {"CMD-SHELL", "true"},
		`["curl", "-f", "a b"]`:   {"CMD", "curl", "-f", "a b"},
		`["true"]`:                {"CMD", "true"},
		`["CMD", "a"]`:            {"CMD", "a"},
		`["CMD-SHELL", "a || b"]`: {"CMD-SHELL", "a || b"},
		"CMD-SHELL a || b":        {"CMD-SHELL", "a || b"},
		"CMD a b":                 {"CMD", "a", "b"},
		"[ -e /x ]":               {"CMD-SHELL", "[ -e /x ]"},
		"":                        nil,
		"[]":                      nil,
		`[""]`:                    nil,
		`["CMD"]`:                 nil,
	} {
		got, err := HealthCommand(in)
		if !slices.Equal(got, want) || (err == nil) != (want != nil) {
			t.Errorf("%q: got %q, %v; want %q", in, got, err, want)
		}
	}
}

func TestHealthTimes(t *testing.T) {
	for in, want := range map[string]time.Duration{"30s": 30 * time.Second, "disable": spec.HealthDisabled, "0": spec.HealthDisabled, "0s": spec.HealthDisabled} {
		if got, err := HealthInterval("--x", in); got != want || err != nil {
			t.Errorf("%q: got %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "soon", "-1s", "1us", "5"} {
		if got, err := HealthInterval("--x", in); err == nil {
			t.Errorf("%q: got %v", in, got)
		}
	}
	if d, err := HealthTime("--x", "0s", time.Second); err == nil {
		t.Errorf("got %v", d)
	}
}
