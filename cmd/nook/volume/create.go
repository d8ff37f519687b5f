package volume

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/libpod/syntax"
	"github.com/nook-containers/nook/libpod/volume"
)

type createOptions struct {
	driver       string
	labels, opts []string
	ignore       bool
	uid, gid     int
}

func newCreate(f *cmdutil.Factory) *cobra.Command {
	o := &createOptions{}
	cmd := &cobra.Command{
		Use:   "create [flags] [NAME]",
		Short: "Make a volume",
		Long: `Make a volume and print its name, which is made up if none is given.

Options (-o KEY=VALUE) are type, device and o, as mount(8) takes them: without a
type the volume is a directory of nook's, of which o=uid=N,gid=N sets the owner;
type=none,o=bind is the host directory that device names; type=tmpfs is memory,
empty each time a container starts with it, and o=size=BYTES limits it.`,
		Example: "  nook volume create data\n  nook volume create -o type=tmpfs -o device=tmpfs -o o=size=64m scratch",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := o.config(args)
			if err != nil {
				return err
			}
			b, err := volume.ParseOptions(c.Options)
			if err != nil {
				return err
			}
			if b.UID == nil && b.GID == nil {
				return o.create(f, c)
			}
			// Only in the namespace can a file get another owner.
			return f.InEngine(cmd.Context(), func(context.Context, *container.Engine) error { return o.create(f, c) })
		},
	}
	fl := cmd.Flags()
	fl.StringVarP(&o.driver, "driver", "d", volume.Local, "driver; there is only local")
	fl.StringArrayVarP(&o.labels, "label", "l", nil, "label: KEY[=VALUE]")
	fl.StringArrayVarP(&o.opts, "opt", "o", nil, "option: KEY=VALUE")
	fl.BoolVar(&o.ignore, "ignore", false, "it is no error if the volume is there already")
	fl.IntVar(&o.uid, "uid", -1, "owner, as containers see it")
	fl.IntVar(&o.gid, "gid", -1, "group, as containers see it")
	return cmd
}

func (o *createOptions) config(args []string) (volume.Config, error) {
	c := volume.Config{Driver: o.driver, Labels: map[string]string{}, Options: map[string]string{}}
	if len(args) == 1 {
		c.Name = args[0]
	} else {
		c.Name = container.NewID()
	}
	for _, l := range o.labels {
		key, value, err := syntax.Label(l)
		if err != nil {
			return c, err
		}
		c.Labels[key] = value
	}
	for _, text := range o.opts {
		key, value, ok := strings.Cut(text, "=")
		if !ok || key == "" {
			return c, fmt.Errorf("option %q: want KEY=VALUE", text)
		}
		if _, twice := c.Options[key]; twice && key != "o" {
			return c, fmt.Errorf("option %s: given twice", key)
		}
		addOption(c.Options, key, value)
	}
	for _, id := range []struct {
		key string
		n   int
	}{{"uid", o.uid}, {"gid", o.gid}} {
		switch {
		case id.n < -1:
			return c, fmt.Errorf("--%s %d: want 0 or more", id.key, id.n)
		case id.n >= 0:
			addOption(c.Options, "o", id.key+"="+strconv.Itoa(id.n))
		}
	}
	return c, nil
}

// addOption adds to what "o" says already.
func addOption(opts map[string]string, key, value string) {
	if before := opts[key]; before != "" {
		value = before + "," + value
	}
	opts[key] = value
}

func (o *createOptions) create(f *cmdutil.Factory, c volume.Config) error {
	s, err := open(f)
	if err != nil {
		return err
	}
	c.Created = time.Now()
	_, err = s.Create(c, volume.Durable)
	if err != nil && (!o.ignore || !errors.Is(err, volume.ErrExists)) {
		return err
	}
	_, err = fmt.Fprintln(f.Out, c.Name)
	return err
}
