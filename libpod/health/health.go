// Package health finds out whether containers do their work.
//
// # Theory of operation
//
// A container's monitor runs its health check, as a command in the container, and
// nobody else does: no timer unit and no daemon. Run is the monitor's loop: it
// waits until a check is due or somebody asks for one, has it run, and gives the
// result to a Checker, which is pure: it counts, and says what is due when.
//
// The first check runs as soon as the container does, so that one which is ready
// at once is healthy at once; that it fails then means nothing, and does not count.
// The interval is from the end of one check to the beginning of the next: checks
// never pile up.
//
// The Report is a file of this boot, which the monitor alone writes.
package health

import (
	"slices"
	"strings"
	"time"

	"github.com/nook-containers/nook/libpod/spec"
)

// Status words, as docker-inspect(1) and podman-inspect(1) have them.
const (
	Starting  = "starting"
	Healthy   = "healthy"
	Unhealthy = "unhealthy"
)

// Defaults of docker-run(1) and podman-run(1).
const (
	DefaultInterval      = 30 * time.Second
	DefaultTimeout       = 30 * time.Second
	DefaultStartInterval = 5 * time.Second
	DefaultRetries       = 3
	DefaultLogCount      = 5
	DefaultLogSize       = 500
)

// Bounds of what is kept, where the user wants none: all of it is in memory.
const (
	maxLogCount = 1000
	maxLogSize  = 64 << 10
)

// TimedOut is the exit code on record of a check that was killed after its
// timeout.
const TimedOut = -1

// Check is one command and when it runs.
type Check struct {
	Command  []string
	Interval time.Duration // spec.HealthDisabled: only when asked for
	Timeout  time.Duration
}

// Plan is a container's health check with everything filled in.
type Plan struct {
	Check

	StartPeriod   time.Duration
	StartInterval time.Duration
	Retries       int

	Startup          *Check // nil: none
	StartupRetries   int    // 0: no end of them
	StartupSuccesses int    // at least 1

	OnFailure         string // spec.HealthAct*
	LogTo             string
	LogCount, LogSize int
}

// PlanOf returns the health check of a container, nil if it has none.
func PlanOf(c spec.Health, img *spec.ImageHealth) *Plan {
	if img == nil {
		img = &spec.ImageHealth{}
	}
	test := Test(c, img)
	if test == nil {
		return nil
	}
	p := &Plan{
		Check: Check{
			Command: command(test), Interval: first(c.Interval, img.Interval, DefaultInterval), Timeout: first(c.Timeout, img.Timeout, DefaultTimeout),
		},
		StartPeriod: first(c.StartPeriod, img.StartPeriod), StartInterval: first(c.StartInterval, img.StartInterval, DefaultStartInterval),
		Retries: first(c.Retries, img.Retries, DefaultRetries), OnFailure: c.OnFailure, LogTo: c.LogTo,
		LogCount: bound(c.LogCount, DefaultLogCount, maxLogCount), LogSize: bound(c.LogSize, DefaultLogSize, maxLogSize),
	}
	if s := c.Startup; s != nil {
		p.Startup = &Check{Command: command(s.Test), Interval: first(s.Interval, DefaultInterval), Timeout: first(s.Timeout, DefaultTimeout)}
		p.StartupRetries, p.StartupSuccesses = s.Retries, max(1, s.Successes)
	}
	return p
}

// Test returns what checks the container's health, nil if nothing does.
func Test(c spec.Health, img *spec.ImageHealth) []string {
	test := c.Test
	if len(test) == 0 && img != nil {
		test = img.Test
	}
	if len(test) < 2 || test[0] == spec.HealthNone {
		return nil
	}
	return test
}

// command is what runs. Only the words CMD and CMD-SHELL are there in images of any
// builder; what begins with another one is a command.
func command(test []string) []string {
	switch test[0] {
	case spec.HealthExec:
		return test[1:]
	case spec.HealthShell:
		return []string{"/bin/sh", "-c", strings.Join(test[1:], " ")}
	}
	return test
}

func first[T comparable](values ...T) T {
	var zero T
	for _, v := range values {
		if v != zero {
			return v
		}
	}
	return zero
}

// bound is what was asked for, in bounds; zero and nothing differ.
func bound(asked *int, usual, limit int) int {
	switch {
	case asked == nil:
		return usual
	case *asked == 0:
		return limit
	}
	return min(*asked, limit)
}

// Result is one check that was done.
type Result struct {
	Start    time.Time `json:"start"`
	End      time.Time `json:"end"`
	ExitCode int       `json:"exitCode"` // 0: healthy; TimedOut; 126 or 127 if it could not run
	Output   string    `json:"output,omitempty"`
}

// Report is what is known of a container's health. The zero value stands for one
// that was never checked.
type Report struct {
	Version       int      `json:"version"`
	Status        string   `json:"status"`
	FailingStreak int      `json:"failingStreak"`
	Log           []Result `json:"log,omitempty"` // oldest first
}

// Checker decides. It is told what happened and when.
type Checker struct {
	plan    Plan
	started time.Time
	report  Report

	done             int       // checks
	skipped          bool      // the first one, for now
	last             time.Time // when one ended
	startup          bool      // the startup check has yet to succeed
	wins, losses     int       // of the startup check
	acted            bool
	startupJustEnded bool
}

// NewChecker is for a container that started at started.
func NewChecker(p Plan, started time.Time) *Checker {
	return &Checker{plan: p, started: started, startup: p.Startup != nil, report: Report{Version: spec.Version, Status: Starting}}
}

// Change has p decide from now on, of a container that runs: what is known stays. A
// startup check that is over, or was not there, is not begun.
func (c *Checker) Change(p Plan) {
	c.plan, c.startupJustEnded = p, false
	c.startup = c.startup && p.Startup != nil
	c.trim()
}

// Report returns what is known.
func (c *Checker) Report() Report {
	r := c.report
	r.Log = slices.Clone(r.Log)
	return r
}

// Next is the check to run next.
func (c *Checker) Next() Check {
	if c.startup {
		return *c.plan.Startup
	}
	return c.plan.Check
}

// Due says when the next check is to begin by itself; ok is false if it is not.
func (c *Checker) Due() (at time.Time, ok bool) {
	interval := c.Next().Interval
	if interval == spec.HealthDisabled {
		return time.Time{}, false
	}
	if c.done == 0 && !c.skipped {
		return c.started, true
	}
	if c.startupJustEnded {
		return c.last, true
	}
	if !c.startup && c.report.Status == Starting && c.forgiven(c.last) {
		interval = min(interval, c.plan.StartInterval)
	}
	return c.last.Add(interval), true
}

// forgiven reports whether a check that fails at t does not count, as the container
// is still starting.
func (c *Checker) forgiven(t time.Time) bool { return t.Before(c.started.Add(c.plan.StartPeriod)) }

// Skip leaves out a check that was due, at this time; the next is due an interval
// later.
func (c *Checker) Skip(at time.Time) { c.last, c.skipped, c.startupJustEnded = at, true, false }

// Done takes a result. asked tells that somebody wanted it, so that it was not due.
// act is what is to be done with the container.
func (c *Checker) Done(r Result, asked bool) (changed bool, act string) {
	before := c.report.Status
	c.done++
	c.last = r.End
	c.startupJustEnded = false
	c.keep(r)
	switch {
	case c.startup:
		act = c.countStartup(r)
	case r.ExitCode == 0:
		c.report.Status, c.report.FailingStreak = Healthy, 0
	case c.done == 1 && !asked, before == Starting && c.forgiven(r.Start):
	default:
		c.report.FailingStreak++
		if c.report.FailingStreak >= c.plan.Retries {
			c.report.Status = Unhealthy
		}
	}
	if c.report.Status == Unhealthy {
		act = c.plan.OnFailure
	}
	if c.acted {
		act = spec.HealthActNothing
	}
	c.acted = c.acted || act != spec.HealthActNothing
	return c.report.Status != before, act
}

func (c *Checker) countStartup(r Result) (act string) {
	if r.ExitCode == 0 {
		c.wins++
		c.startup = c.wins < c.plan.StartupSuccesses
		c.startupJustEnded = !c.startup
		return spec.HealthActNothing
	}
	c.losses++
	if c.plan.StartupRetries > 0 && c.losses >= c.plan.StartupRetries {
		return spec.HealthActRestart
	}
	return spec.HealthActNothing
}

func (c *Checker) keep(r Result) {
	if len(r.Output) > c.plan.LogSize {
		r.Output = r.Output[:c.plan.LogSize]
	}
	r.Output = strings.ToValidUTF8(r.Output, "\uFFFD")
	c.report.Log = append(c.report.Log, r)
	c.trim()
}

func (c *Checker) trim() {
	if over := len(c.report.Log) - c.plan.LogCount; over > 0 {
		c.report.Log = slices.Delete(c.report.Log, 0, over)
	}
}
