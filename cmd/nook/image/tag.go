package image

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/pkg/registry"
	"github.com/nook-containers/nook/pkg/store"
)

func newTag(f *cmdutil.Factory) *cobra.Command {
	return &cobra.Command{
		Use:     "tag IMAGE NAME [NAME...]",
		Short:   "Give an image further names",
		Long:    `Give an image further names. A name without a registry is one of localhost, one without a tag gets "latest". If another image has the name, it loses it.`,
		Example: "  nook tag busybox mybusybox:1 registry.example.com/me/busybox",
		Args:    cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			names, err := fullNames(args[1:], local)
			if err != nil {
				return fmt.Errorf("tag: %w", err)
			}
			return f.InStore(cmd.Context(), func(_ context.Context, s *store.Store) error {
				img, err := s.Lookup(args[0])
				if err != nil {
					return fmt.Errorf("tag: %w", err)
				}
				return s.Tag(img.ID, names...)
			})
		},
	}
}

func newUntag(f *cmdutil.Factory) *cobra.Command {
	return &cobra.Command{
		Use:   "untag IMAGE [NAME...]",
		Short: "Take names away from an image",
		Long:  "Take names away from an image: those given, else all of them. The image stays.",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.InStore(cmd.Context(), func(_ context.Context, s *store.Store) error {
				return untag(s, args[0], args[1:])
			})
		},
	}
}

func untag(s *store.Store, image string, args []string) error {
	img, err := s.Lookup(image)
	if err != nil {
		return fmt.Errorf("untag: %w", err)
	}
	names := img.Names
	if len(args) > 0 {
		names = nil
		for _, a := range args {
			n, err := ownName(img, a)
			if err != nil {
				return fmt.Errorf("untag: %w", err)
			}
			names = append(names, n)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return s.Untag(img.ID, names...)
}

// ownName finds the name of the image that a possibly short one means.
func ownName(img *store.Image, short string) (string, error) {
	for _, registry := range []string{local, registry.DockerHub} {
		full, err := fullName(short, registry)
		if err != nil {
			return "", err
		}
		if slices.Contains(img.Names, full) {
			return full, nil
		}
	}
	return "", fmt.Errorf("image %s has no name %q; it has %q", img.ID[:12], short, img.Names)
}
