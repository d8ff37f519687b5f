package monitor

import (
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/userns"
)

func TestMemberFD(t *testing.T) {
	if memberFD != userns.MemberFD {
		t.Errorf("memberFD is %d, userns has %d", memberFD, userns.MemberFD)
	}
}

func TestAgain(t *testing.T) {
	for name, tc := range map[string]struct {
		policy  spec.Restart
		run     state.Run
		stopped bool
		want    bool
	}{
		"no policy":              {spec.Restart{}, state.Run{ExitCode: 1}, false, false},
		"always, success":        {spec.Restart{Policy: "always"}, state.Run{}, false, true},
		"always, stopped":        {spec.Restart{Policy: "always"}, state.Run{}, true, false},
		"unless-stopped":         {spec.Restart{Policy: "unless-stopped"}, state.Run{}, false, true},
		"on-failure, success":    {spec.Restart{Policy: "on-failure"}, state.Run{}, false, false},
		"on-failure":             {spec.Restart{Policy: "on-failure"}, state.Run{ExitCode: 2, Restarts: 99}, false, true},
		"on-failure, some left":  {spec.Restart{Policy: "on-failure", Max: 3}, state.Run{ExitCode: 2, Restarts: 2}, false, true},
		"on-failure, none left":  {spec.Restart{Policy: "on-failure", Max: 3}, state.Run{ExitCode: 2, Restarts: 3}, false, false},
		"a policy of the future": {spec.Restart{Policy: "sometimes"}, state.Run{ExitCode: 2}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := state.Store{Dir: t.TempDir(), Run: t.TempDir()}
			c, err := s.Create(state.Config{ID: "a1", Name: "x", Spec: spec.Container{Restart: tc.policy}})
			if err != nil {
				t.Fatal(err)
			}
			if tc.stopped {
				if err := MarkStopped(c); err != nil {
					t.Fatal(err)
				}
			}
			if got := again(c, tc.run); got != tc.want {
				t.Errorf("got %v", got)
			}
			if err := ClearStopped(c); err != nil || Stopped(c) {
				t.Errorf("still stopped, %v", err)
			}
		})
	}
}

func TestPause(t *testing.T) {
	start := time.Unix(1000, 0)
	short := state.Run{Started: start, Finished: start.Add(time.Second)}
	long := state.Run{Started: start, Finished: start.Add(11 * time.Second)}
	for name, tc := range map[string]struct {
		last time.Duration
		run  state.Run
		want time.Duration
	}{
		"first":     {0, short, 100 * time.Millisecond},
		"doubles":   {400 * time.Millisecond, short, 800 * time.Millisecond},
		"at most":   {45 * time.Second, short, time.Minute},
		"after one": {45 * time.Second, long, 100 * time.Millisecond},
	} {
		if got := pause(tc.last, tc.run); got != tc.want {
			t.Errorf("%s: got %v, want %v", name, got, tc.want)
		}
	}
}

// What comes before one program turns into the next is for that to do.
func TestHandOver(t *testing.T) {
	runtime.LockOSThread() // and it ends with the test
	term := newTerminator()
	if err := term.handOver(); err != nil {
		t.Fatal(err)
	}
	if term.take() {
		t.Fatal("a signal was there before there was one")
	}
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGTERM); err != nil { // another thread gets it
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); !term.take(); {
		if time.Now().After(end) {
			t.Fatal("the signal did not come")
		}
	}
	if term.take() {
		t.Error("one signal came twice")
	}
	term.give()
	term.give() // it is the same wish
	term.keep()
	select {
	case <-term.signals:
	case <-time.After(time.Minute):
		t.Error("the signal is lost")
	}
}
