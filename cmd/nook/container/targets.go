package container

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/problem"
)

// targets are the containers that a verb is for.
type targets struct {
	verb        string
	flags       []string // that stand in for a container; nil: --latest alone
	all, latest bool
	ignore      bool // a missing container is no error
	cidFiles    []string
	filters     []string
}

func (t *targets) add(fl *pflag.FlagSet, verb, all string) { t.addAs(fl, verb, all, "a", "i") }

// addAs is add for a verb whose short flags mean something else.
func (t *targets) addAs(fl *pflag.FlagSet, verb, help, all, ignore string) {
	t.verb, t.flags = verb, listFlags()
	fl.BoolVarP(&t.all, "all", all, false, help)
	fl.BoolVarP(&t.latest, "latest", "l", false, "the container made last")
	fl.BoolVarP(&t.ignore, "ignore", ignore, false, "a missing container is no error")
	fl.StringArrayVar(&t.cidFiles, "cidfile", nil, "read the container's id from this file")
	fl.StringArrayVarP(&t.filters, "filter", "f", nil, "those that a filter selects, as ps has them")
}

// listFlags stand in for containers where a verb is for many.
func listFlags() []string { return []string{"--cidfile", "--filter", "--latest", "--all"} }

// target is one of them: found, or why not.
type target struct {
	name string // as it was given
	c    *state.Container
	err  error
}

// check finds mistakes of the command line.
func (t *targets) check(f *cmdutil.Factory, args []string) error {
	named := len(args) + len(t.cidFiles)
	many := t.all || len(t.filters) > 0
	switch {
	case many && named > 0, t.latest && (named > 0 || many):
		return errors.New("--all, --latest, --filter and a container exclude each other")
	case !many && !t.latest && named == 0:
		return t.missing()
	case len(t.filters) == 0:
		return nil
	}
	s, err := f.State()
	if err != nil {
		return err
	}
	_, err = filters(s).Compile(t.filters)
	return err
}

// missing is what to say to who names no container.
func (t *targets) missing() error {
	flags := t.flags
	if flags == nil {
		flags = []string{"--latest"}
	}
	last := len(flags) - 1
	words := append([]string{"a container"}, flags[:last]...)
	return fmt.Errorf("%s needs %s or %s", t.verb, strings.Join(words, ", "), flags[last])
}

// find looks the containers up. The error is one of the command line.
func (t *targets) find(f *cmdutil.Factory, s state.Store, args []string) ([]target, error) {
	if err := t.check(f, args); err != nil {
		return nil, err
	}
	if t.all || len(t.filters) > 0 || t.latest {
		return t.listed(f, s)
	}
	ids, err := readIDs(t.cidFiles, t.ignore)
	if err != nil {
		return nil, err
	}
	var found []target
	for _, name := range append(args, ids...) {
		c, err := s.Lookup(name)
		if errors.Is(err, state.ErrNotFound) {
			if t.ignore {
				continue
			}
			err = problem.Hint(err, "run: nook ps -a")
		}
		found = append(found, target{name, c, err})
	}
	return found, nil
}

// one is find for a verb that works on one container.
func (t *targets) one(f *cmdutil.Factory, args []string) (*state.Container, error) {
	if len(args) > 1 {
		return nil, fmt.Errorf("%s: unexpected argument %q", t.verb, args[1])
	}
	s, err := f.State()
	if err != nil {
		return nil, err
	}
	found, err := t.find(f, s, args)
	if err != nil {
		return nil, err
	}
	return found[0].c, found[0].err
}

// readIDs reads --cidfile's files. With ignore a missing one is no error.
func readIDs(paths []string, ignore bool) (ids []string, err error) { //nolint:revive // the flag's value
	for _, path := range paths {
		id, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) && ignore {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read container id: %w", err)
		}
		ids = append(ids, strings.TrimSpace(string(id)))
	}
	return ids, nil
}

func (t *targets) listed(f *cmdutil.Factory, s state.Store) ([]target, error) {
	keep, err := filters(s).Compile(t.filters)
	if err != nil {
		return nil, err
	}
	list, errs := container.List(s) // newest first
	for _, err := range errs {
		f.Notice(err.Error()) // one damaged record must not hide the others
	}
	if t.latest || slices.Contains([]string{"init", "start", "restart", "rm"}, t.verb) {
		list = withoutInfra(list)
	}
	if t.latest {
		if len(list) == 0 {
			return nil, errors.New("there is no container")
		}
		list = list[:1]
	}
	var found []target
	for _, l := range list {
		if keep(l) {
			found = append(found, target{l.ID, l.Container, nil})
		}
	}
	return found, nil
}

// each does work for every target at once, and prints the names of those where it
// went well in the order they were given. status is the exit status of an error.
func each(ctx context.Context, f *cmdutil.Factory, found []target, status func(error) int,
	work func(context.Context, *state.Container) error,
) error {
	done := make([]chan error, len(found))
	for i, t := range found {
		done[i] = make(chan error, 1)
		go func() {
			if t.err == nil {
				t.err = work(ctx, t.c)
			}
			done[i] <- t.err
		}()
	}
	code := 0
	for i, t := range found {
		if err := <-done[i]; err != nil {
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

func always125(error) int { return cmdutil.ExitFailure }
