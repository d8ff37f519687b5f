package system

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/store"
	"github.com/nook-containers/nook/pkg/units"
)

// Noun returns the "system" command with its verbs.
func Noun() cmdutil.Verb {
	return cmdutil.Noun("system", "Look after nook itself", []cmdutil.Verb{
		{Names: "df", New: newDf},
		{Names: "events", New: newEvents},
		{Names: "info", New: newInfo},
		{Names: "prune", New: newPrune},
	})
}

func newDf(f *cmdutil.Factory) *cobra.Command {
	var format string
	var verbose bool
	cmd := &cobra.Command{
		Use:   "df [flags]",
		Short: "Show how much disk images, containers and volumes use",
		Long: `Show how much disk images, containers and volumes use. What several images share
counts once. Reclaimable is what would be free without the images that no
container is made of, the containers that do not run, and the volumes that no
container uses.`,
		Example: "  nook system df\n  nook system df --format '{{.Type}} {{.Size}}'",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if verbose && format != "" {
				return errors.New("--verbose and --format exclude each other")
			}
			if err := cmdutil.CheckFormat(format, kindList()); err != nil {
				return err
			}
			return f.InEngine(cmd.Context(), func(ctx context.Context, e *container.Engine) error {
				u, err := measure(ctx, e)
				if err != nil {
					return err
				}
				if verbose {
					return u.tables(f, time.Now())
				}
				return cmdutil.Render(f.Out, format, kindList(), u.kinds())
			})
		},
	}
	cmd.Flags().StringVar(&format, "format", "", "`json`, table TEMPLATE or TEMPLATE")
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "show each image, container and volume")
	return cmd
}

// kindRow is one line; its methods are the fields of templates.
type kindRow struct {
	kind          string
	total, active int
	bytes, free   int64
}

// Type is what the line is about.
func (r kindRow) Type() string { return r.kind }

// Total is how many there are; TotalCount is its name in Docker.
func (r kindRow) Total() int { return r.total }

// TotalCount is Total.
func (r kindRow) TotalCount() int { return r.total }

// Active is how many are in use.
func (r kindRow) Active() int { return r.active }

// Size is how much they take.
func (r kindRow) Size() string { return units.Compact(r.bytes) }

// RawSize is Size in bytes.
func (r kindRow) RawSize() int64 { return r.bytes }

// RawReclaimable is Reclaimable in bytes.
func (r kindRow) RawReclaimable() int64 { return r.free }

// Reclaimable is how much of it nothing needs.
func (r kindRow) Reclaimable() string {
	percent := int64(0)
	if r.bytes > 0 {
		percent = (100*r.free + r.bytes/2) / r.bytes
	}
	return units.Compact(r.free) + " (" + strconv.FormatInt(percent, 10) + "%)"
}

// kindJSON has podman's field names.
type kindJSON struct {
	Type                    string
	Total, Active           int
	RawSize, RawReclaimable int64
	TotalCount              int
	Size, Reclaimable       string
}

func kindList() cmdutil.List[kindRow] {
	return cmdutil.List[kindRow]{
		Default: "{{.Type}}\t{{.Total}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}",
		Object: func(r kindRow) any {
			return kindJSON{r.kind, r.total, r.active, r.bytes, r.free, r.total, r.Size(), r.Reclaimable()}
		},
	}
}

// imageLine, containerLine and volumeLine are what --verbose shows.
type imageLine struct {
	Repository, Tag, ImageID, Created, Size string
	SharedSize, UniqueSize                  string
	Containers                              int
}

type containerLine struct {
	ContainerID, Image, Command string
	LocalVolumes                int
	Size, Created, Status       string
	Names                       string
}

type volumeLine struct {
	VolumeName string
	Links      int
	Size       string
}

func (u *usage) tables(f *cmdutil.Factory, now time.Time) error {
	fmt.Fprint(f.Out, "Images space usage:\n\n")
	if err := cmdutil.Render(f.Out, "", cmdutil.List[imageLine]{
		Default:  "{{.Repository}}\t{{.Tag}}\t{{.ImageID}}\t{{.Created}}\t{{.Size}}\t{{.SharedSize}}\t{{.UniqueSize}}\t{{.Containers}}",
		Headings: map[string]string{"ImageID": "IMAGE ID", "SharedSize": "SHARED SIZE", "UniqueSize": "UNIQUE SIZE"},
	}, u.imageLines(now)); err != nil {
		return err
	}
	fmt.Fprint(f.Out, "\nContainers space usage:\n\n")
	if err := cmdutil.Render(f.Out, "", cmdutil.List[containerLine]{
		Default:  "{{.ContainerID}}\t{{.Image}}\t{{.Command}}\t{{.LocalVolumes}}\t{{.Size}}\t{{.Created}}\t{{.Status}}\t{{.Names}}",
		Headings: map[string]string{"ContainerID": "CONTAINER ID", "LocalVolumes": "LOCAL VOLUMES"},
	}, u.containerLines()); err != nil {
		return err
	}
	fmt.Fprint(f.Out, "\nLocal Volumes space usage:\n\n")
	var volumes []volumeLine
	for _, v := range u.volumes {
		volumes = append(volumes, volumeLine{v.Name, v.links, units.Compact(v.bytes)})
	}
	return cmdutil.Render(f.Out, "", cmdutil.List[volumeLine]{
		Default: "{{.VolumeName}}\t{{.Links}}\t{{.Size}}", Headings: map[string]string{"VolumeName": "VOLUME NAME"},
	}, volumes)
}

func (u *usage) imageLines(now time.Time) []imageLine {
	const none = "<none>"
	var out []imageLine
	for _, i := range u.images {
		names := i.Names
		if len(names) == 0 {
			names = []string{none}
		}
		for _, n := range names {
			repo, tag := store.SplitName(n)
			if n == none || tag == "" {
				tag = none
			}
			out = append(out, imageLine{
				repo, tag, i.ID[:12], units.Ago(now.Sub(i.Created)), units.Compact(i.Image.Size),
				units.Compact(i.shared), units.Compact(i.unique), i.containers,
			})
		}
	}
	return out
}

func (u *usage) containerLines() []containerLine {
	var out []containerLine
	for _, c := range u.containers {
		line := containerLine{
			ContainerID: c.Short(), Image: c.ImageID[:min(12, len(c.ImageID))], Size: units.Compact(c.written),
			Created: units.Ago(state.Since(c.Created)), Status: c.Word, Names: c.Name,
		}
		if len(c.Command) > 0 {
			line.Command = c.Command[0]
		}
		for _, m := range c.Spec.Mounts {
			if m.Type == spec.MountVolume {
				line.LocalVolumes++
			}
		}
		out = append(out, line)
	}
	return out
}
