package health

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nook-containers/nook/libpod/spec"
)

func shell(s string) []string { return []string{spec.HealthShell, s} }

func TestPlanOf(t *testing.T) {
	img := &spec.ImageHealth{Test: shell("img"), Interval: time.Minute, StartInterval: time.Second, Retries: 7}
	for name, tc := range map[string]struct {
		c    spec.Health
		img  *spec.ImageHealth
		want string
	}{
		"none":            {spec.Health{}, nil, ""},
		"image without":   {spec.Health{}, &spec.ImageHealth{}, ""},
		"image says NONE": {spec.Health{}, &spec.ImageHealth{Test: []string{"NONE"}}, ""},
		"image":           {spec.Health{}, img, "/bin/sh -c img 1m0s 30s 7 1s"},
		"switched off":    {spec.Health{Test: []string{"NONE"}}, img, ""},
		"own":             {spec.Health{Test: []string{"CMD", "a", "b"}}, nil, "a b 30s 30s 3 5s"},
		"field by field":  {spec.Health{Interval: spec.HealthDisabled, Timeout: time.Second, Retries: 2}, img, "/bin/sh -c img -1ns 1s 2 1s"},
		"a word unknown":  {spec.Health{}, &spec.ImageHealth{Test: []string{"curl", "x"}}, "curl x 30s 30s 3 5s"},
	} {
		got := ""
		if p := PlanOf(tc.c, tc.img); p != nil {
			got = strings.Join(p.Command, " ") + " " + p.Interval.String() + " " + p.Timeout.String() + " " + string(rune('0'+p.Retries)) + " " + p.StartInterval.String()
		}
		if got != tc.want {
			t.Errorf("%s: got %q, want %q", name, got, tc.want)
		}
	}
}

func TestBounds(t *testing.T) {
	zero, one, huge := 0, 1, 1<<40
	for _, tc := range []struct {
		asked *int
		want  int
	}{{nil, DefaultLogCount}, {&zero, maxLogCount}, {&one, 1}, {&huge, maxLogCount}} {
		if p := PlanOf(spec.Health{Test: shell("x"), LogCount: tc.asked}, nil); p.LogCount != tc.want {
			t.Errorf("got %d, want %d", p.LogCount, tc.want)
		}
	}
	c := NewChecker(Plan{LogCount: 2, LogSize: 4, Retries: 3}, time.Time{})
	for _, out := range []string{"one", "twoooo", "\xff\xfe\xfd\xfc\xfb"} {
		c.Done(Result{Output: out}, false)
	}
	r := c.Report()
	if len(r.Log) != 2 || r.Log[0].Output != "twoo" || r.Log[1].Output != "\uFFFD" {
		t.Errorf("kept %+v", r.Log)
	}
}

// step is one check: when it began after the container's start, its exit code, and
// what is to be after it.
type step struct {
	at     time.Duration
	code   int
	asked  bool
	status string
	streak int
	act    string
	next   time.Duration // until the next is due, 0: never
}

func TestChecker(t *testing.T) {
	const s = time.Second
	usual := Plan{Check: Check{Interval: 10 * s}, StartInterval: 2 * s, Retries: 2, LogCount: 1}
	with := func(change func(*Plan)) Plan {
		p := usual
		change(&p)
		return p
	}
	for name, tc := range map[string]struct {
		plan  Plan
		steps []step
	}{
		"healthy at once": {usual, []step{{0, 0, false, Healthy, 0, "", 10 * s}}},
		"the first failure is nothing": {usual, []step{
			{0, 1, false, Starting, 0, "", 10 * s},
			{10 * s, 1, false, Starting, 1, "", 10 * s},
			{20 * s, 1, false, Unhealthy, 2, "", 10 * s},
			{30 * s, 0, false, Healthy, 0, "", 10 * s},
			{40 * s, 1, false, Healthy, 1, "", 10 * s},
		}},
		"unless somebody asked": {usual, []step{{0, 1, true, Starting, 1, "", 10 * s}}},
		"start period": {with(func(p *Plan) { p.StartPeriod = 5 * s }), []step{
			{0, 1, false, Starting, 0, "", 2 * s},
			{2 * s, 1, false, Starting, 0, "", 2 * s},
			{4 * s, 1, false, Starting, 0, "", 2 * s},
			{6 * s, 1, false, Starting, 1, "", 10 * s},
		}},
		"a success ends the start period": {with(func(p *Plan) { p.StartPeriod = 60 * s }), []step{
			{0, 0, false, Healthy, 0, "", 10 * s}, {10 * s, 1, false, Healthy, 1, "", 10 * s}, {20 * s, 1, false, Unhealthy, 2, "", 10 * s},
		}},
		"a start interval beyond the interval": {with(func(p *Plan) { p.StartPeriod, p.StartInterval = 60*s, 60*s }), []step{
			{0, 1, false, Starting, 0, "", 10 * s},
		}},
		"act once": {with(func(p *Plan) { p.OnFailure, p.Retries = spec.HealthActStop, 1 }), []step{
			{0, 1, false, Starting, 0, "", 10 * s}, {10 * s, 1, false, Unhealthy, 1, spec.HealthActStop, 10 * s}, {20 * s, 1, false, Unhealthy, 2, "", 10 * s},
		}},
		"disabled": {with(func(p *Plan) { p.Interval = spec.HealthDisabled }), []step{{0, 0, true, Healthy, 0, "", 0}}},
		"startup": {with(func(p *Plan) { p.Startup, p.StartupSuccesses = &Check{Interval: s}, 2 }), []step{
			{0, 1, false, Starting, 0, "", s},
			{1 * s, 0, false, Starting, 0, "", s},
			{2 * s, 1, false, Starting, 0, "", s},
			{3 * s, 0, false, Starting, 0, "", 0 + time.Nanosecond},
			{3 * s, 0, false, Healthy, 0, "", 10 * s},
		}},
		"startup in vain": {with(func(p *Plan) { p.Startup, p.StartupRetries, p.StartupSuccesses = &Check{Interval: s}, 2, 1 }), []step{
			{0, 1, false, Starting, 0, "", s}, {1 * s, 1, false, Starting, 0, spec.HealthActRestart, s},
		}},
	} {
		t.Run(name, func(t *testing.T) { follow(t, tc.plan, tc.steps) })
	}
}

func follow(t *testing.T, p Plan, steps []step) {
	t.Helper()
	start := time.Unix(1000, 0)
	c := NewChecker(p, start)
	if at, ok := c.Due(); ok != (p.Interval != spec.HealthDisabled) || ok && !at.Equal(start) {
		t.Errorf("the first is due at %v, %v", at, ok)
	}
	for i, s := range steps {
		before := c.Report().Status
		end := start.Add(s.at)
		changed, act := c.Done(Result{Start: end, End: end, ExitCode: s.code}, s.asked)
		r := c.Report()
		if r.Status != s.status || r.FailingStreak != s.streak || act != s.act || changed != (before != s.status) {
			t.Errorf("step %d: %s %d, act %q, changed %v; want %+v", i, r.Status, r.FailingStreak, act, changed, s)
		}
		at, ok := c.Due()
		if want := s.next; ok != (want != 0) || ok && at.Sub(end) != want.Truncate(time.Microsecond) {
			t.Errorf("step %d: the next is due in %v, %v; want %v", i, at.Sub(end), ok, want)
		}
	}
}

func TestFile(t *testing.T) {
	dir := t.TempDir()
	if r, err := Read(dir); err != nil || r.Status != Starting {
		t.Errorf("nothing there: %v, %v", r, err)
	}
	r := Report{Version: 1, Status: Healthy, FailingStreak: 1, Log: []Result{{Start: time.Unix(1, 0).UTC(), End: time.Unix(2, 0).UTC(), ExitCode: 3, Output: "x"}}}
	if err := Write(dir, r); err != nil {
		t.Fatal(err)
	}
	got, err := Read(dir)
	if err != nil || got.Status != r.Status || !slices.Equal(got.Log, r.Log) {
		t.Errorf("got %v, %v", got, err)
	}
}

// TestChange: another plan goes on with what is known.
func TestChange(t *testing.T) {
	start := time.Unix(1000, 0)
	plan := Plan{Check: Check{Interval: time.Minute}, Retries: 2, LogCount: 5, LogSize: 9}
	c := NewChecker(plan, start)
	fail := func(at time.Duration) string {
		_, act := c.Done(Result{Start: start.Add(at), End: start.Add(at), ExitCode: 1}, false)
		return act
	}
	for i := range 3 {
		fail(time.Duration(i) * time.Minute)
	}
	if got := c.Report(); got.Status != Unhealthy || len(got.Log) != 3 {
		t.Fatalf("%+v", got)
	}
	plan.Interval, plan.LogCount, plan.OnFailure = time.Second, 1, spec.HealthActKill
	plan.Startup = &Check{}
	c.Change(plan)
	if got := c.Report(); got.Status != Unhealthy || got.FailingStreak != 2 || len(got.Log) != 1 {
		t.Errorf("after a change: %+v", got)
	}
	if at, ok := c.Due(); !ok || !at.Equal(start.Add(2*time.Minute+time.Second)) {
		t.Errorf("due at %v, %v", at, ok)
	}
	if act := fail(3 * time.Minute); act != spec.HealthActKill {
		t.Errorf("act %q: a startup check began late", act)
	}

	plan.StartupSuccesses = 1
	c = NewChecker(plan, start)
	plan.Startup = nil
	if c.Change(plan); c.Next().Interval != time.Second {
		t.Error("the startup check that is gone goes on")
	}
}
