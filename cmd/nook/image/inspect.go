package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/pkg/store"
)

func newInspect(f *cmdutil.Factory) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:     "inspect [flags] IMAGE [IMAGE...]",
		Short:   "Show all about images",
		Example: "  nook image inspect --format '{{.Config.Cmd}}' busybox",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.InStore(cmd.Context(), func(_ context.Context, s *store.Store) error {
				return inspect(f, s, args, format)
			})
		},
	}
	cmd.Flags().StringVarP(&format, "format", "f", "", "`json` or TEMPLATE")
	return cmd
}

// inspect shows the images that are there also when others are not.
func inspect(f *cmdutil.Factory, s *store.Store, args []string, format string) error {
	all, err := collect(s)
	if err != nil {
		return err
	}
	var objects []*Inspect
	var errs []error
	for _, a := range args {
		o, err := newObject(s, all, a)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		objects = append(objects, o)
	}
	if err := cmdutil.RenderObjects(f.Out, format, objects); err != nil {
		return err
	}
	if len(errs) > 0 {
		return fmt.Errorf("inspect: %w", errors.Join(errs...))
	}
	return nil
}

// Inspect is an image as "image inspect" shows it: Podman's names and, where it
// has them too, Docker's.
type Inspect struct {
	ID           string `json:"Id"`
	Digest       string
	RepoTags     []string
	RepoDigests  []string
	Parent       string
	Comment      string
	Created      *time.Time
	Config       *v1.Config
	Version      string
	Author       string
	Architecture string
	Variant      string `json:",omitempty"`
	Os           string
	Size         int64
	VirtualSize  int64
	GraphDriver  GraphDriver
	RootFS       RootFS
	Labels       map[string]string
	Annotations  map[string]string
	ManifestType string
	User         string
	History      []v1.History
	NamesHistory []string
}

// GraphDriver says where the image's files are.
type GraphDriver struct {
	Name string
	Data map[string]string `json:",omitempty"` // its directories, of the overlay driver; those that there are
}

// RootFS lists the digests of the layers' tar streams.
type RootFS struct {
	Type   string
	Layers []string
}

// Id is ID, as templates written for Docker name it.
//
//nolint:staticcheck // the field's name elsewhere
func (i *Inspect) Id() string { return i.ID }

// LookupInspect returns what "image inspect" shows about the image.
func LookupInspect(s *store.Store, nameOrID string) (*Inspect, error) {
	all, err := collect(s)
	if err != nil {
		return nil, err
	}
	return newObject(s, all, nameOrID)
}

func newObject(s *store.Store, all []*listed, arg string) (*Inspect, error) {
	img, err := s.Lookup(arg)
	if err != nil {
		return nil, err
	}
	c, err := img.Config()
	if err != nil {
		return nil, err
	}
	o := &Inspect{
		ID: img.ID, Digest: img.Digest, RepoTags: orEmpty(img.Names), RepoDigests: orEmpty(img.RepoDigests),
		Created: &c.Created.Time, Config: &c.Config, Version: c.DockerVersion, //nolint:staticcheck // old images have it
		Author:       c.Author,
		Architecture: c.Architecture, Variant: c.Variant, Os: c.OS, Size: img.Size, VirtualSize: img.Size,
		Labels: c.Config.Labels, User: c.Config.User, History: c.History, NamesHistory: orEmpty(img.OldNames),
	}
	if n := len(c.History); n > 0 {
		o.Comment = c.History[n-1].Comment
	}
	for _, l := range all {
		if l.ID == img.ID {
			o.Parent = l.parent
		}
	}
	o.RootFS = RootFS{Type: c.RootFS.Type, Layers: []string{}}
	for _, d := range c.RootFS.DiffIDs {
		o.RootFS.Layers = append(o.RootFS.Layers, d.String())
	}
	if err := o.readManifest(img); err != nil {
		return nil, err
	}
	o.GraphDriver.Name, o.GraphDriver.Data, err = img.GraphDriver()
	return o, err
}

func (i *Inspect) readManifest(img *store.Image) error {
	raw, err := img.RawManifest()
	if err != nil {
		return err
	}
	var m struct {
		MediaType   string            `json:"mediaType"`
		Annotations map[string]string `json:"annotations"`
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return fmt.Errorf("image %s: manifest: %w", img.ID[:12], err)
	}
	i.ManifestType, i.Annotations = m.MediaType, m.Annotations
	if i.ManifestType == "" { // optional in image-spec's manifest.md
		i.ManifestType = "application/vnd.oci.image.manifest.v1+json"
	}
	return nil
}

func orEmpty(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}
