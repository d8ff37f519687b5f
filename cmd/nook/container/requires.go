package container

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/problem"
)

// findRequired turns the names of --requires into ids: a container that is renamed
// is still the one that was meant.
func findRequired(f *cmdutil.Factory, names []string) ([]string, error) {
	if len(names) == 0 {
		return nil, nil
	}
	s, err := f.State()
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, name := range names {
		c, err := s.Lookup(name)
		if err != nil {
			return nil, problem.Hint(fmt.Errorf("--requires: %w", err), "run: nook ps -a")
		}
		ids = append(ids, c.ID)
	}
	return ids, nil
}

// startRequired starts those of the containers ids that do not run, each after
// those that it requires itself.
func startRequired(ctx context.Context, f *cmdutil.Factory, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	s, err := f.State()
	if err != nil {
		return err
	}
	order, err := startOrder(ids, func(id string) ([]string, error) {
		c, err := s.Lookup(id)
		if err != nil {
			return nil, fmt.Errorf("required container: %w", err)
		}
		return c.Spec.Requires, nil
	})
	if err != nil {
		return err
	}
	for _, id := range order {
		c, err := s.Lookup(id)
		if err != nil {
			return fmt.Errorf("required container: %w", err)
		}
		st, err := c.Status()
		if err == nil && st.Word != state.Running {
			err = startAgain(ctx, f, c)
		}
		if err != nil {
			return fmt.Errorf("required container %s: %w", c.Name, err)
		}
	}
	return nil
}

// startOrder lists ids and what they require, those first that others need. A
// container can only require older ones, so there is no circle.
func startOrder(ids []string, requires func(id string) ([]string, error)) ([]string, error) {
	var order []string
	var visit func(id string) error
	visit = func(id string) error {
		if slices.Contains(order, id) {
			return nil
		}
		needs, err := requires(id)
		if err != nil {
			return err
		}
		for _, n := range needs {
			if err := visit(n); err != nil {
				return err
			}
		}
		order = append(order, id)
		return nil
	}
	for _, id := range ids {
		if err := visit(id); err != nil {
			return nil, err
		}
	}
	return order, nil
}

// withDependents adds to ids the containers that need one of them, those first
// that nothing else needs.
func withDependents(s state.Store, ids []string) ([]string, error) {
	all, errs := s.List() // oldest first
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	gone := slices.Clone(ids)
	var added []string
	for _, c := range all {
		if !slices.Contains(gone, c.ID) && slices.ContainsFunc(container.Needs(c), func(id string) bool { return slices.Contains(gone, id) }) {
			gone, added = append(gone, c.ID), append(added, c.ID)
		}
	}
	slices.Reverse(added)
	return append(added, ids...), nil
}
