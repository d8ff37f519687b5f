package image

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/events"
	"github.com/nook-containers/nook/libpod/image"
	"github.com/nook-containers/nook/pkg/store"
)

type pullFlags struct {
	cmdutil.PullFlags
	allTags bool
}

func newPull(f *cmdutil.Factory) *cobra.Command {
	var o pullFlags
	cmd := &cobra.Command{
		Use:   "pull [flags] NAME...",
		Short: "Pull images from a registry",
		Long: `Pull images from a registry into the store. NAME is
[REGISTRY/]PATH[:TAG][@DIGEST]; without a registry it is looked for where
registries.conf says, or at docker.io. Progress goes to standard error, the id of
each image to standard output.`,
		Example: "  nook pull busybox\n  nook pull --platform linux/arm64 quay.io/prometheus/busybox:latest",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.complete(cmd.Flags()); err != nil {
				return err
			}
			return f.InStore(cmd.Context(), func(ctx context.Context, s *store.Store) error {
				o.Progress, o.Helper = f.Err, f.CredentialHelper()
				o.Pulled = func(id, name string) { f.TellImage(events.Pull, id, name) }
				return pull(ctx, f, s, args, o)
			})
		},
	}
	o.define(cmd.Flags())
	return cmd
}

func (o *pullFlags) define(fs *pflag.FlagSet) {
	o.Define(fs)
	fs.BoolVarP(&o.allTags, "all-tags", "a", false, "pull every tag of the repository")
	fs.StringVar(&o.Policy, "policy", image.Always, "when to pull: always, missing, never or newer")
}

func (o *pullFlags) complete(fs *pflag.FlagSet) error {
	if o.allTags && fs.Changed("policy") && o.Policy != image.Always {
		return errors.New("--all-tags asks the registry for its tags and goes only with --policy always")
	}
	return o.Complete(fs, "policy")
}

func pull(ctx context.Context, f *cmdutil.Factory, s *store.Store, names []string, o pullFlags) error {
	for _, name := range names {
		if !o.allTags {
			img, err := image.Ensure(ctx, s, name, o.PullOptions)
			if err != nil {
				return err
			}
			fmt.Fprintln(f.Out, img.ID)
			continue
		}
		images, err := image.PullAll(ctx, s, name, o.PullOptions)
		for _, img := range images {
			fmt.Fprintln(f.Out, img.ID)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
