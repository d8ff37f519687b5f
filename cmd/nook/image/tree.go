package image

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/pkg/store"
	"github.com/nook-containers/nook/pkg/units"
)

func newTree(f *cmdutil.Factory) *cobra.Command {
	var requires bool
	cmd := &cobra.Command{
		Use:     "tree [flags] IMAGE",
		Short:   "Show the layers of an image",
		Long:    "Show the layers of an image, the lowest first, and which images end with them.",
		Example: "  nook image tree busybox\n  nook image tree --whatrequires busybox",
		Args:    cmdutil.ExactArgs(1, "an image"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.InStore(cmd.Context(), func(_ context.Context, s *store.Store) error {
				img, err := s.Lookup(args[0])
				if err != nil {
					return err
				}
				all, err := collect(s)
				if err != nil {
					return err
				}
				text := layerTree(all, img)
				if requires {
					text = builtOn(all, img)
				}
				_, err = io.WriteString(f.Out, text)
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&requires, "whatrequires", false, "show the images that have its last layer instead")
	return cmd
}

func treeHead(img *store.Image) string {
	return fmt.Sprintf("Image ID: %s\nTags:     %v\nSize:     %s\n", img.ID[:12], img.Names, units.Compact(img.Size))
}

func layerTree(all []*listed, img *store.Image) string {
	var b strings.Builder
	b.WriteString(treeHead(img) + "Image Layers\n")
	for i, layer := range slices.Backward(img.Layers) {
		branch := "├── "
		if i == 0 {
			branch = "└── "
		}
		fmt.Fprintf(&b, "%sID: %s Size: %s", branch, layer[:min(12, len(layer))], units.Compact(img.LayerSizes[i]))
		var tops []string
		for _, l := range all {
			if l.TopLayer == layer {
				tops = append(tops, l.Names...)
			}
		}
		if len(tops) > 0 {
			fmt.Fprintf(&b, " Top Layer of: %v", tops)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// builtOn lists the images that begin with all layers of img.
func builtOn(all []*listed, img *store.Image) string {
	var b strings.Builder
	b.WriteString(treeHead(img) + "Images with its last layer\n")
	var others []*listed
	for _, l := range all {
		if l.ID != img.ID && img.TopLayer != "" && slices.Contains(l.Layers, img.TopLayer) {
			others = append(others, l)
		}
	}
	for i, l := range others {
		branch := "├── "
		if i == len(others)-1 {
			branch = "└── "
		}
		fmt.Fprintf(&b, "%sID: %s Size: %s %v\n", branch, l.ID[:12], units.Compact(l.Image.Size), l.Names)
	}
	return b.String()
}
