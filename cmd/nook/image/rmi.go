package image

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/store"
)

type removeOptions struct{ all, force, ignore, noPrune bool }

func newRmi(f *cmdutil.Factory) *cobra.Command {
	cmd := newRemove(f)
	cmd.Use, cmd.Aliases = "rmi [flags] IMAGE [IMAGE...]", nil
	return cmd
}

func newRemove(f *cmdutil.Factory) *cobra.Command {
	var o removeOptions
	cmd := &cobra.Command{
		Use:     "rm [flags] IMAGE [IMAGE...]",
		Aliases: []string{"remove"},
		Short:   "Remove images",
		Long: `Remove images and the layers that no other image needs. An image with several
names only loses the name that is given; with its last name it goes. Images
without a name that it was built on go with it.

Exit status: 1 if an image is not there, 2 if one is in use by a container or has
several names and was given by its id, 125 for any other failure.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 && !o.all {
				return errors.New("rmi: which image? give its name or id, or --all")
			}
			if len(args) > 0 && o.all {
				return errors.New("rmi: give images or --all, not both")
			}
			return f.InEngine(cmd.Context(), func(ctx context.Context, e *container.Engine) error {
				r := &remover{f: f, e: e, s: e.Layers, o: o}
				return r.run(ctx, args)
			})
		},
	}
	fl := cmd.Flags()
	fl.BoolVarP(&o.all, "all", "a", false, "all images that no container is made of")
	fl.BoolVarP(&o.force, "force", "f", false, "also an image with several names, and with the containers that are made of it")
	fl.BoolVarP(&o.ignore, "ignore", "i", false, "it is no error if an image is not there")
	fl.BoolVar(&o.noPrune, "no-prune", false, "keep images without a name that the image was built on")
	return cmd
}

type remover struct {
	f *cmdutil.Factory
	e *container.Engine
	s *store.Store
	o removeOptions
}

// run goes on after an error, so that one image does not keep the others.
func (r *remover) run(ctx context.Context, args []string) error {
	if r.o.all {
		return r.everything(ctx)
	}
	var errs []error
	for _, a := range args {
		if err := r.one(ctx, a); err != nil && (!r.o.ignore || !errors.Is(err, store.ErrNotFound)) {
			errs = append(errs, err)
		}
	}
	return removeStatus(errs)
}

// removeStatus joins errors under the exit status that scripts expect.
func removeStatus(errs []error) error {
	if len(errs) == 0 {
		return nil
	}
	code := 1
	for _, err := range errs {
		switch {
		case errors.Is(err, store.ErrInUse):
			code = max(code, 2)
		case !errors.Is(err, store.ErrNotFound):
			code = 125
		}
	}
	return &cmdutil.ExitError{Code: code, Err: fmt.Errorf("rmi: %w", errors.Join(errs...))}
}

func (r *remover) everything(ctx context.Context) error {
	images, err := collect(r.s)
	if err != nil {
		return err
	}
	var errs []error
	for _, l := range images {
		if l.ReadOnly {
			continue
		}
		// An earlier removal may have taken it along.
		if _, err := r.s.Lookup(l.ID); errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err := r.remove(ctx, l.Image); err != nil {
			errs = append(errs, err)
		}
	}
	return removeStatus(errs)
}

// one removes what an argument names: a name of several, or the image.
func (r *remover) one(ctx context.Context, arg string) error {
	img, err := r.s.Lookup(arg)
	if err != nil {
		return err
	}
	if img.ReadOnly {
		return fmt.Errorf("image %s is in another tool's store, which is only read", img.ID[:12])
	}
	if len(img.Names) > 1 && !r.o.force {
		name, err := ownName(img, arg)
		if err != nil {
			return problem.Hint(fmt.Errorf("image %s: has several names: %s", img.ID[:12], strings.Join(img.Names, ", ")),
				"remove one name: nook rmi %s; or all: nook rmi -f %s", img.Names[0], img.ID[:12])
		}
		if err := r.s.Untag(img.ID, name); err != nil {
			return err
		}
		_, err = fmt.Fprintln(r.f.Out, "Untagged:", name)
		return err
	}
	return r.remove(ctx, img)
}

// remove deletes the image and then those without a name that it was built on.
func (r *remover) remove(ctx context.Context, img *store.Image) error {
	all, err := collect(r.s)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(l *listed) bool { return l.ID == img.ID })
	if err := r.delete(ctx, img.ID); err != nil {
		return err
	}
	for _, n := range img.Names {
		fmt.Fprintln(r.f.Out, "Untagged:", n)
	}
	if _, err := fmt.Fprintln(r.f.Out, "Deleted:", img.ID); err != nil || r.o.noPrune || i < 0 {
		return err
	}
	return r.prune(all, i)
}

// delete deletes the image, and with --force its containers before.
func (r *remover) delete(ctx context.Context, id string) error {
	err := r.s.Remove(id)
	if !r.o.force || !errors.Is(err, store.ErrInUse) {
		return err
	}
	users, uerr := r.s.Users(id)
	if uerr != nil {
		return uerr
	}
	for _, user := range users {
		c, lerr := r.e.State.Lookup(user)
		if lerr != nil {
			return errors.Join(err, lerr) // another tool's container
		}
		if err := r.e.Remove(ctx, c, container.RemoveOptions{Force: true, Timeout: container.DefaultStopTimeout}); err != nil {
			return err
		}
	}
	return r.s.Remove(id)
}

// prune goes up from image i of all, which is gone, as long as it finds images
// that have no name, no container and no other image built on them.
func (r *remover) prune(all []*listed, i int) error {
	for {
		parent := all[i].parent
		all = slices.Delete(all, i, i+1)
		relate(all)
		i = slices.IndexFunc(all, func(l *listed) bool {
			return l.ID == parent && !l.named() && !l.children && l.users == 0 && !l.ReadOnly
		})
		if i < 0 {
			return nil
		}
		if err := r.s.Remove(parent); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(r.f.Out, "Deleted:", parent); err != nil {
			return err
		}
	}
}
