package machine

import (
	"slices"
	"strings"
	"testing"
)

// Whatever a command is made of, systemd-run must not read it as its own options.
func TestSession(t *testing.T) {
	args := Session(Command{Args: []string{"--quiet", "-x"}, Env: []string{"A=b c"}})
	end := slices.Index(args, "--")
	if end < 0 || !slices.Equal(args[end+1:], []string{"--quiet", "-x"}) {
		t.Errorf("command is not what follows --: %q", args)
	}
	if !slices.Contains(args[:max(end, 0)], "--setenv=A=b c") {
		t.Errorf("environment is missing: %q", args)
	}
	if strings.Count(strings.Join(args[:max(end, 0)], " "), "PAMName=") != 1 {
		t.Errorf("no login session: %q", args)
	}
}

// The phases of a run are chosen by names that go into a regular expression.
func TestNamesAreLiteral(t *testing.T) {
	all, err := ReadScripts("../script")
	if err != nil || len(all) == 0 {
		t.Fatalf("%d scripts, error %v", len(all), err)
	}
	for _, s := range all {
		if strings.ContainsAny(s.Name, "()[]|^$.*+?\\/ ") {
			t.Errorf("%s: a name of letters, digits and _ please", s.Name)
		}
	}
}
