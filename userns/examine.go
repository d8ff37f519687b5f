package userns

import (
	"errors"
	"fmt"

	"github.com/nook-containers/nook/pkg/doctor"
	"github.com/nook-containers/nook/pkg/problem"
)

// Names of the checks.
const (
	checkSpace   = "user-namespace"
	checkHelpers = "id-helpers"
	checkRanges  = "subordinate-ids"
)

// What the causes mean to the user.
const (
	meansNoSpace  = "No container starts."
	meansNoHelper = "No container with more than one user starts."
	meansOneID    = "Files and processes in containers can belong to root only; most images want more."
	meansRanges   = "No container starts until the ranges are right."
	meansClash    = "What runs in your containers has ids that are somebody else's: each can touch the other's files."
	meansFew      = "Images with files or users of higher ids cannot be unpacked or run."
)

// enough is how many ids nearly every image does with: 65534 is nobody's.
const enough = 65535

// Examine is what "nook doctor" says about user namespaces, newuidmap and newgidmap,
// and subordinate ids.
func Examine(h *doctor.Host) []doctor.Result {
	f, err := Host{Root: h.Root, Env: h.Env}.Collect()
	if err != nil {
		return []doctor.Result{doctor.FromError(checkSpace, doctor.Problem, err, "What the host allows could not be read.")}
	}
	return f.Examine()
}

// Examine is the part of the function Examine that judges.
func (f Facts) Examine() []doctor.Result {
	all := []doctor.Result{f.examineSpace()}
	if f.privileged() {
		n, _ := f.Map.Size()
		return append(all, doctor.Fine(checkRanges, "root already, with %d ids", n))
	}
	all = append(all, f.examineHelpers()...)
	return append(all, f.examineRanges()...)
}

func (f Facts) examineSpace() doctor.Result {
	if err := f.cloneProblem(nil); err != nil {
		return doctor.FromError(checkSpace, doctor.Problem, err, meansNoSpace)
	}
	return doctor.Fine(checkSpace, "allowed")
}

func (f Facts) examineHelpers() []doctor.Result {
	if errs := f.helperProblems(); len(errs) > 0 {
		all := make([]doctor.Result, len(errs))
		for i, err := range errs {
			all[i] = doctor.FromError(checkHelpers, doctor.Problem, err, meansNoHelper)
		}
		return all
	}
	return []doctor.Result{doctor.Fine(checkHelpers, "%s, %s", f.NewUIDMap.Path, f.NewGIDMap.Path)}
}

func (f Facts) examineRanges() []doctor.Result {
	if err := f.rangeProblem(); errors.Is(err, ErrNoRange) {
		return []doctor.Result{doctor.FromError(checkRanges, doctor.Problem, err, meansOneID)}
	} else if err != nil {
		return []doctor.Result{doctor.FromError(checkRanges, doctor.Problem, err, meansRanges)}
	}
	var all []doctor.Result
	for _, c := range f.Clashes {
		all = append(all, doctor.FromError(checkRanges, doctor.Problem, c.explain(f), meansClash))
	}
	u, g := count(f.SubIDs.UIDs), count(f.SubIDs.GIDs)
	if min(u, g) < enough {
		err := fmt.Errorf("%s has %d subordinate uids and %d gids", f.name(), u, g)
		if command := addRangeCommand(f.Identity, f.Free); command != "" {
			err = problem.Run(err, command)
		}
		all = append(all, doctor.FromError(checkRanges, doctor.Warning, err, meansFew))
	}
	if len(all) == 0 {
		all = append(all, doctor.Fine(checkRanges, "%d uids and %d gids for %s, from %s", u, g, f.name(), f.SubIDs.Source))
	}
	return all
}

func count(ranges []Range) (n uint64) {
	for _, r := range ranges {
		n += uint64(r.Count)
	}
	return n
}
