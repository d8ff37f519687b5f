// Package pod holds the pod verbs: flags in, one library call, output.
package pod

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/libpod/pod"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/problem"
)

// Exit statuses, as podman-pod-rm(1): nothing else went wrong, but one was not
// there, or one has a container that runs.
const (
	exitNotFound = 1
	exitInUse    = 2
)

// Noun returns the "pod" command with its verbs.
func Noun() cmdutil.Verb {
	return cmdutil.Noun("pod", "Manage pods: containers that share namespaces", []cmdutil.Verb{
		{Names: "create", New: newCreate},
		{Names: "clone", New: newClone},
		{Names: "exists", New: newExists},
		{Names: "inspect", New: newInspect},
		{Names: "kill", New: newKill},
		{Names: "logs", New: newLogs},
		{Names: "pause", New: newPause},
		{Names: "prune", New: newPrune},
		{Names: "ps ls list", New: newPs},
		{Names: "restart", New: newRestart},
		{Names: "rm", New: newRm},
		{Names: "start", New: newStart},
		{Names: "stats", New: newStats},
		{Names: "stop", New: newStop},
		{Names: "top", New: newTop},
		{Names: "unpause", New: newUnpause},
	})
}

func open(f *cmdutil.Factory) (pod.Store, error) {
	s, err := f.State()
	return pod.Of(s), err
}

func hinted(err error) error {
	if errors.Is(err, pod.ErrNotFound) {
		return problem.Hint(err, "run: nook pod ps")
	}
	return err
}

// failure is the exit status for one pod; of several the highest counts.
func failure(err error) int {
	switch {
	case errors.Is(err, pod.ErrNotFound):
		return exitNotFound
	case errors.Is(err, state.ErrRunning), errors.Is(err, container.ErrDependents):
		return exitInUse
	default:
		return cmdutil.ExitFailure
	}
}

func always125(error) int { return cmdutil.ExitFailure }

// targets are the pods that a verb is for.
type targets struct {
	verb        string
	all, latest bool
	ignore      bool // a missing pod is no error
	idFiles     []string
}

func (t *targets) add(fl *pflag.FlagSet, verb string) {
	t.verb = verb
	fl.BoolVarP(&t.all, "all", "a", false, "every pod")
	fl.BoolVarP(&t.latest, "latest", "l", false, "the pod made last")
}

func (t *targets) addFiles(fl *pflag.FlagSet) {
	fl.StringArrayVar(&t.idFiles, "pod-id-file", nil, "read the pod's id from this file")
}

// target is one of them: found, or why not.
type target struct {
	name string // as it was given
	pod  *pod.Pod
	err  error
}

// find looks the pods up. The error is one of the command line.
func (t *targets) find(f *cmdutil.Factory, args []string) ([]target, error) {
	named := len(args) + len(t.idFiles)
	switch {
	case t.all && (named > 0 || t.latest), t.latest && named > 0:
		return nil, errors.New("--all, --latest and a pod exclude each other")
	case !t.all && !t.latest && named == 0:
		return nil, fmt.Errorf("pod %s needs a pod, or --all", t.verb)
	}
	s, err := open(f)
	if err != nil {
		return nil, err
	}
	if t.all || t.latest {
		return t.listed(f, s)
	}
	ids, err := t.readIDs()
	if err != nil {
		return nil, err
	}
	var found []target
	for _, name := range append(args, ids...) {
		p, err := s.Lookup(name)
		if errors.Is(err, pod.ErrNotFound) && t.ignore {
			continue
		}
		found = append(found, target{name, p, hinted(err)})
	}
	return found, nil
}

func (t *targets) readIDs() (ids []string, err error) {
	for _, path := range t.idFiles {
		id, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) && t.ignore {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read pod id: %w", err)
		}
		ids = append(ids, strings.TrimSpace(string(id)))
	}
	return ids, nil
}

func (t *targets) listed(f *cmdutil.Factory, s pod.Store) ([]target, error) {
	list, errs := s.List() // oldest first
	for _, err := range errs {
		f.Notice(err.Error()) // one damaged record must not hide the others
	}
	if t.latest {
		if len(list) == 0 {
			return nil, errors.New("there is no pod")
		}
		list = list[len(list)-1:]
	}
	var found []target
	for _, p := range list {
		found = append(found, target{p.ID, p, nil})
	}
	return found, nil
}

// each does work for every target in turn, and prints the names of those where it
// went well. status is the exit status of an error.
func each(ctx context.Context, f *cmdutil.Factory, found []target, status func(error) int, work func(context.Context, *pod.Pod) error) error {
	code := 0
	for _, t := range found {
		err := t.err
		if err == nil {
			err = work(ctx, t.pod)
		}
		if err != nil {
			code = max(code, status(err))
			f.Report(err)
			continue
		}
		fmt.Fprintln(f.Out, t.name)
	}
	if code != 0 {
		return &cmdutil.ExitError{Code: code}
	}
	return nil
}

func newExists(f *cmdutil.Factory) *cobra.Command {
	return &cobra.Command{
		Use:     "exists POD",
		Short:   "Tell by the exit status whether a pod exists",
		Long:    "Exit with 0 if the pod exists, 1 if not, 125 if that cannot be told.",
		Example: "  nook pod exists web || nook pod create web",
		Args:    cmdutil.ExactArgs(1, "a pod"),
		RunE: func(_ *cobra.Command, args []string) error {
			s, err := open(f)
			if err != nil {
				return err
			}
			_, err = s.Lookup(args[0])
			if errors.Is(err, pod.ErrNotFound) {
				return &cmdutil.ExitError{Code: exitNotFound}
			}
			return err
		},
	}
}
