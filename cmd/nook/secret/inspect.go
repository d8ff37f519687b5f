package secret

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/secret"
)

// Inspect is a secret as "secret inspect" shows it, in the field names of podman
// and of Docker's GET /secrets/{id}.
type Inspect struct {
	ID         string
	CreatedAt  time.Time
	UpdatedAt  time.Time
	Spec       InspectSpec
	SecretData string `json:",omitempty"` // with --showsecret
}

// InspectSpec is what was asked for.
type InspectSpec struct {
	Name   string
	Driver InspectDriver
	Labels map[string]string
}

// InspectDriver says where the content is.
type InspectDriver struct {
	Name    string
	Options map[string]string
}

type inspectOptions struct {
	format             string
	pretty, showSecret bool
}

func newInspect(f *cmdutil.Factory) *cobra.Command {
	o := &inspectOptions{}
	cmd := &cobra.Command{
		Use:     "inspect [flags] SECRET...",
		Short:   "Show all about secrets",
		Long:    "Show all about secrets, but for the content, which needs --showsecret.",
		Example: "  nook secret inspect --showsecret --format '{{.SecretData}}' db-password",
		Args:    cmdutil.MinArgs(1, "a secret"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.pretty && o.format != "" {
				return errors.New("--pretty and --format exclude each other")
			}
			return o.inspect(cmd.Context(), f, args)
		},
	}
	fl := cmd.Flags()
	fl.StringVarP(&o.format, "format", "f", "", "`json` or TEMPLATE")
	fl.BoolVar(&o.pretty, "pretty", false, "show it as text")
	fl.BoolVar(&o.showSecret, "showsecret", false, "show the content too")
	return cmd
}

func (o *inspectOptions) inspect(ctx context.Context, f *cmdutil.Factory, names []string) error {
	s, err := open(f)
	if err != nil {
		return err
	}
	var found []*Inspect
	var errs []error
	for _, name := range names {
		i, err := o.describe(ctx, s, name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		found = append(found, i)
	}
	if o.pretty {
		for _, i := range found {
			errs = append(errs, i.text(f.Out))
		}
		return errors.Join(errs...)
	}
	return errors.Join(cmdutil.RenderObjects(f.Out, o.format, found), errors.Join(errs...))
}

func (o *inspectOptions) describe(ctx context.Context, s secret.Store, name string) (*Inspect, error) {
	sec, err := s.Lookup(name)
	if err != nil {
		return nil, err
	}
	p := sec.Public()
	i := &Inspect{
		ID: p.ID, CreatedAt: p.Created, UpdatedAt: p.Updated,
		Spec: InspectSpec{Name: p.Name, Driver: InspectDriver{p.Driver, p.Options}, Labels: p.Labels},
	}
	if i.Spec.Labels == nil {
		i.Spec.Labels = map[string]string{}
	}
	if i.Spec.Driver.Options == nil {
		i.Spec.Driver.Options = map[string]string{}
	}
	if o.showSecret {
		data, err := s.Data(ctx, sec)
		if err != nil {
			return nil, err
		}
		i.SecretData = string(data)
	}
	return i, nil
}

// text writes the secret as podman's --pretty does.
func (i *Inspect) text(w io.Writer) error {
	var out strings.Builder
	fmt.Fprintf(&out, "ID:              %s\nName:            %s\n", i.ID, i.Spec.Name)
	if len(i.Spec.Labels) > 0 {
		out.WriteString("Labels:\n")
		for _, k := range slices.Sorted(maps.Keys(i.Spec.Labels)) {
			fmt.Fprintf(&out, " - %s=%s\n", k, i.Spec.Labels[k])
		}
	}
	fmt.Fprintf(&out, "Driver:          %s\nCreated at:      %v\nUpdated at:      %v\n", i.Spec.Driver.Name, i.CreatedAt, i.UpdatedAt)
	if i.SecretData != "" {
		fmt.Fprintf(&out, "Secret data:     %s\n", i.SecretData)
	}
	_, err := io.WriteString(w, out.String())
	return err
}
