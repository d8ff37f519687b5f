package health

import (
	"context"
	"errors"
	"time"
)

// Ask wants a check now, and has room for the answer; it is closed without one if
// the container ends before.
type Ask chan Answer

// Answer is what an Ask hears.
type Answer struct {
	Code   int    `json:"code"`   // exit code of the check
	Status string `json:"status"` // after it
}

// Hooks are what Run does its work with. They are called one at a time.
type Hooks struct {
	// Exec runs a command in the container, at most until ctx ends, and returns its
	// exit code and the first bytes of its output.
	Exec func(ctx context.Context, command []string) (code int, output string)
	// Told gets every result; changed says that the status is another than before.
	Told func(now Report, changed bool)
	// Act does to the container what its health asks for.
	Act func(what string)
	// Planned hears that the check is another one from now on.
	Planned func(Plan)
	// Still reports whether the container's processes stand still now.
	Still func() bool
}

// Run checks the container's health until ctx ends, whenever it is due and whenever
// somebody asks. A container that stands still is not checked: nothing in it could
// answer, and a check that it is stopped under says nothing either. What comes from
// plans is what is checked from then on.
func Run(ctx context.Context, c *Checker, asks <-chan Ask, plans <-chan Plan, h Hooks) {
	for {
		var ask Ask
		due, stop := alarm(c)
		select {
		case <-ctx.Done():
			stop()
			return
		case p := <-plans:
			stop()
			c.Change(p)
			h.Planned(p)
			continue
		case ask = <-asks:
		case <-due:
		}
		stop()
		if ask == nil && h.Still() {
			c.Skip(time.Now())
			continue
		}
		r := check(ctx, c.Next(), h)
		if ctx.Err() != nil { // it ended under the check, which therefore says nothing
			if ask != nil {
				close(ask)
			}
			return
		}
		act := ""
		if r.ExitCode != 0 && h.Still() {
			c.Skip(r.End)
		} else {
			var changed bool
			changed, act = c.Done(r, ask != nil)
			h.Told(c.Report(), changed)
		}
		if ask != nil {
			ask <- Answer{Code: r.ExitCode, Status: c.Report().Status}
		}
		if act != "" {
			h.Act(act)
		}
	}
}

func alarm(c *Checker) (due <-chan time.Time, stop func()) {
	at, ok := c.Due()
	if !ok {
		return nil, func() {}
	}
	t := time.NewTimer(time.Until(at))
	return t.C, func() { t.Stop() }
}

func check(ctx context.Context, what Check, h Hooks) Result {
	limited, cancel := context.WithTimeout(ctx, what.Timeout)
	defer cancel()
	r := Result{Start: time.Now()}
	r.ExitCode, r.Output = h.Exec(limited, what.Command)
	r.End = time.Now()
	if errors.Is(limited.Err(), context.DeadlineExceeded) {
		r.ExitCode = TimedOut
		r.Output = "the check did not end within " + what.Timeout.String() + "\n" + r.Output
	}
	return r
}
