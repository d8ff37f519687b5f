package health

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nook-containers/nook/libpod/spec"
)

// record runs a checker for so long of a fake clock. Each check takes a second and
// fails while fails says so; what happened comes as text, with times since the start.
func record(t *testing.T, p Plan, during time.Duration, fails func(at time.Duration) bool, asks ...time.Duration) []string {
	t.Helper()
	return recordPaused(t, p, during, ailing{fails, func(time.Duration) bool { return false }}, asks...)
}

// ailing says when checks fail and when the container stands still.
type ailing struct{ fails, paused func(at time.Duration) bool }

// recordPaused is record for a container that may stand still.
func recordPaused(t *testing.T, p Plan, during time.Duration, when ailing, asks ...time.Duration) []string {
	t.Helper()
	var lines []string
	start := time.Now()
	say := func(format string, args ...any) {
		lines = append(lines, fmt.Sprintf("%v ", time.Since(start))+fmt.Sprintf(format, args...))
	}
	ctx, cancel := context.WithTimeout(t.Context(), during)
	defer cancel()
	asked := make(chan Ask)
	for _, at := range asks {
		go func() {
			time.Sleep(at)
			a := make(Ask, 1)
			select {
			case asked <- a:
			case <-ctx.Done():
				return
			}
			answer, ok := <-a
			say("answer %d %s %v", answer.Code, answer.Status, ok)
		}()
	}
	Run(ctx, NewChecker(p, start), asked, nil, Hooks{
		Exec: func(ctx context.Context, cmd []string) (int, string) {
			at := time.Since(start)
			select {
			case <-ctx.Done():
				return 137, "cut"
			case <-time.After(time.Second):
			}
			if when.fails(at) {
				return 1, cmd[0]
			}
			return 0, cmd[0]
		},
		Told:  func(r Report, changed bool) { say("%s %d %v", r.Status, r.Log[len(r.Log)-1].ExitCode, changed) },
		Act:   func(what string) { say("%s", what) },
		Still: func() bool { return when.paused(time.Since(start)) },
	})
	synctest.Wait()
	return lines
}

func TestRun(t *testing.T) {
	const s = time.Second
	plan := Plan{Check: Check{Command: []string{"c"}, Interval: 10 * s, Timeout: 5 * s}, Retries: 2, OnFailure: spec.HealthActKill, LogCount: 1, LogSize: 100}
	never, always := func(time.Duration) bool { return false }, func(time.Duration) bool { return true }
	slow, startup, asleep := plan, plan, plan
	slow.Timeout = 500 * time.Millisecond
	startup.Startup, startup.StartupSuccesses = &Check{Command: []string{"s"}, Interval: 2 * s, Timeout: s * 5}, 1
	asleep.Interval = spec.HealthDisabled
	for name, tc := range map[string]struct {
		plan   Plan
		during time.Duration
		fails  func(time.Duration) bool
		asks   []time.Duration
		want   []string
	}{
		"from end to beginning": {plan, 25 * s, never, nil, []string{"1s healthy 0 true", "12s healthy 0 false", "23s healthy 0 false"}},
		"act":                   {plan, 24 * s, always, nil, []string{"1s starting 1 false", "12s starting 1 false", "23s unhealthy 1 true", "23s kill"}},
		"timeout":               {slow, 11*s + s/4, never, nil, []string{"500ms starting -1 false", "11s starting -1 false"}},
		"ends under a check":    {plan, 11*s + s/2, never, []time.Duration{11*s + s/4}, []string{"1s healthy 0 true"}},
		"asked":                 {asleep, 25 * s, always, []time.Duration{5 * s}, []string{"6s starting 1 false", "6s answer 1 starting true"}},
		"asked under a check":   {asleep, 25 * s, never, []time.Duration{5 * s, 5*s + s/2}, []string{"6s healthy 0 true", "6s answer 0 healthy true", "7s healthy 0 false", "7s answer 0 healthy true"}},
		"asked as it ends":      {asleep, 5 * s, never, []time.Duration{4*s + s/2}, []string{"5s answer 0  false"}},
		"startup":               {startup, 8 * s, func(at time.Duration) bool { return at < 3*s }, nil, []string{"1s starting 1 false", "4s starting 0 false", "5s healthy 0 true"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got := record(t, tc.plan, tc.during, tc.fails, tc.asks...)
				if !slices.Equal(got, tc.want) {
					t.Errorf("got  %q\nwant %q", got, tc.want)
				}
			})
		})
	}
}

// A container that stands still is not checked, from the start or later, and a check
// that fails because of that does not count.
func TestRunPaused(t *testing.T) {
	const s = time.Second
	plan := Plan{Check: Check{Command: []string{"c"}, Interval: 10 * s, Timeout: 5 * s}, Retries: 1, OnFailure: spec.HealthActKill, LogCount: 1, LogSize: 100}
	never, always := func(time.Duration) bool { return false }, func(time.Duration) bool { return true }
	between := func(from, to time.Duration) func(time.Duration) bool {
		return func(at time.Duration) bool { return from <= at && at < to }
	}
	startup := plan
	startup.Startup, startup.StartupSuccesses = &Check{Command: []string{"s"}, Interval: 2 * s, Timeout: s * 5}, 1
	for name, tc := range map[string]struct {
		plan          Plan
		fails, paused func(time.Duration) bool
		asks          []time.Duration
		want          []string
	}{
		"from the start":      {plan, never, between(0, 5*s), nil, []string{"11s healthy 0 true", "22s healthy 0 false"}},
		"all the time":        {plan, always, always, nil, nil},
		"later":               {plan, never, between(5*s, 15*s), nil, []string{"1s healthy 0 true", "22s healthy 0 false"}},
		"under a check":       {plan, between(11*s, 12*s), between(11*s+s/2, 13*s), nil, []string{"1s healthy 0 true", "23s healthy 0 false"}},
		"a check that won":    {plan, never, between(11*s+s/2, 13*s), nil, []string{"1s healthy 0 true", "12s healthy 0 false", "23s healthy 0 false"}},
		"asked under a check": {plan, between(5*s, 6*s), between(5*s+s/2, 7*s), []time.Duration{5 * s}, []string{"1s healthy 0 true", "6s answer 1 healthy true", "17s healthy 0 false"}},
		"after startup":       {startup, never, between(s, 5*s), nil, []string{"1s starting 0 false", "12s healthy 0 true", "23s healthy 0 false"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if got := recordPaused(t, tc.plan, 25*s, ailing{tc.fails, tc.paused}, tc.asks...); !slices.Equal(got, tc.want) {
					t.Errorf("got  %q\nwant %q", got, tc.want)
				}
			})
		})
	}
}
