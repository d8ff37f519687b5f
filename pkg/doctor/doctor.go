// Package doctor is the vocabulary of "nook doctor": what a check sees of the host,
// and what it says.
//
// # Theory of operation
//
// A package that needs something of the host owns the check for it, a function that
// takes a Host and returns Results: user namespaces are userns's, what the overlay
// can do is pkg/store's, devices and ports are slirp/forward's. The command lists
// them. This package has the ones that nobody in particular needs.
//
// A check reads and computes; it changes nothing. Where only trying tells, the owner
// tries in a directory of its own that it removes again. Repairs are of two kinds: a
// command for the user to read and run, of which those that need root make one
// script, and Result.Do for what needs no root.
//
// The texts are those of the errors that nook gives for the same cause, by way of
// FromError: a hint and the doctor never tell different things.
package doctor

import (
	"fmt"
	"strings"

	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/problem/remedy"
)

// Level says how bad a result is.
type Level string

// Levels.
const (
	OK      Level = "ok"
	Warning Level = "warning" // nook works, but something is slower or missing
	Problem Level = "problem" // containers do not run, or not as they should
)

// A Result is what a check says about one thing.
type Result struct {
	Check string `json:"check"` // a name that scripts can rely on
	Level Level  `json:"level"`
	Found string `json:"found"`           // what is so
	Means string `json:"means,omitempty"` // what the user notices of it, a sentence
	// Fix is the command that helps, one line of shell that can be run again, with
	// sudo where it needs root. With level OK it is a choice, not a repair.
	Fix    string `json:"fix,omitempty"`
	Advice string `json:"advice,omitempty"` // where no single command helps
	// Do repairs what needs no root and says what it did.
	Do func() (did string, err error) `json:"-"`
}

// Fine is a result with nothing to do.
func Fine(check, format string, args ...any) Result {
	return Result{Check: check, Level: OK, Found: fmt.Sprintf(format, args...)}
}

// FromError makes the result of an error and of its hint.
func FromError(check string, level Level, err error, means string) Result {
	r := Result{Check: check, Level: level, Found: err.Error(), Means: means, Fix: problem.CommandOf(err)}
	if r.Fix == "" {
		r.Advice = problem.HintOf(err)
	}
	return r
}

// A Report is all results.
type Report struct {
	Results []Result `json:"results"`
}

// Count returns how many results have the level.
func (r Report) Count(level Level) (n int) {
	for _, one := range r.Results {
		if one.Level == level {
			n++
		}
	}
	return n
}

// Script is what root has to run, with a comment for each command; "" where there
// is nothing. Commands that are a choice stand in it as comments.
func (r Report) Script() string {
	var need, may strings.Builder
	seen := map[string]bool{}
	for _, one := range r.Results {
		if !remedy.NeedsRoot(one.Fix) || seen[one.Fix] {
			continue
		}
		seen[one.Fix] = true
		command := remedy.AsRoot(one.Fix)
		if one.Level == OK {
			fmt.Fprintf(&may, "# if you want to (%s): %s\n#%s\n", one.Check, oneLine(one.Means), command)
		} else {
			fmt.Fprintf(&need, "# %s: %s\n%s\n", one.Check, oneLine(one.Found), command)
		}
	}
	if need.Len()+may.Len() == 0 {
		return ""
	}
	// A command that fails must not keep the others from helping.
	return "#!/bin/sh\n# What \"nook doctor\" found needs root. It can be run again.\n" + need.String() + may.String()
}

// oneLine keeps text of the host out of the lines that a shell would run.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
