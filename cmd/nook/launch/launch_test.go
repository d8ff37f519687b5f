package launch

import (
	"errors"
	"strings"
	"testing"
)

func TestWanted(t *testing.T) {
	for line, want := range map[string]bool{
		"nook run busybox":                     true,
		"nook create -v /a:/b x":               true,
		"nook run":                             false,
		"nook ps -a":                           false,
		"nook --root /x run busybox":           false,
		"nook run --help x":                    false,
		"nook run --preserve-fds=2 busybox":    false,
		"nook run --preserve-fds 2 busybox sh": false,
		"nook-engine images -a":                false,
		"nook":                                 false,
	} {
		if got := wanted(strings.Fields(line)); got != want {
			t.Errorf("%s: %v, want %v", line, got, want)
		}
	}
}

func TestEarlyGivesNothingTwice(t *testing.T) {
	boom := errors.New("boom")
	early = make(chan result, 1)
	early <- result{nil, boom}
	if _, err := Early(); !errors.Is(err, boom) {
		t.Errorf("got %v", err)
	}
	if _, err := Early(); !errors.Is(err, ErrNone) {
		t.Errorf("a second time: %v, want ErrNone", err)
	}
}
