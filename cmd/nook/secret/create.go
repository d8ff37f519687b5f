package secret

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/secret"
	"github.com/nook-containers/nook/libpod/syntax"
	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/term"
)

type createOptions struct {
	driver               string
	options, labels      []string
	env, replace, ignore bool
}

func newCreate(f *cmdutil.Factory) *cobra.Command {
	o := &createOptions{}
	cmd := &cobra.Command{
		Use:   "create [flags] NAME FILE|-|VARIABLE",
		Short: "Keep a secret",
		Long: `Keep a secret for containers and print its id. The content is read from a file, or
with "-" from standard input, or with --env from a variable.

Drivers: "file" keeps the content where only you can read it. "env" keeps the name
of a variable, and reads that whenever a container starts. "shell" runs commands
of yours, given as --driver-opts store=…,lookup=…,delete=…; they get the content on
standard input or write it to standard output, and find the id in SECRET_ID.`,
		Example: "  nook secret create db-password password.txt\n  pass show db | nook secret create db-password -\n  nook run --secret db-password,type=env,target=PGPASSWORD app",
		Args:    cmdutil.ExactArgs(2, "a name and a file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.create(cmd, f, args[0], args[1])
		},
	}
	fl := cmd.Flags()
	fl.StringVarP(&o.driver, "driver", "d", secret.DriverFile, "file, env or shell")
	fl.StringSliceVar(&o.options, "driver-opts", nil, "options of the driver: `KEY=VALUE`")
	fl.StringArrayVarP(&o.labels, "label", "l", nil, "label: `KEY[=VALUE]`")
	fl.BoolVar(&o.env, "env", false, "read the content from a variable")
	fl.BoolVar(&o.replace, "replace", false, "give a secret of that name the new content")
	fl.BoolVar(&o.ignore, "ignore", false, "leave a secret of that name as it is, and print its id")
	return cmd
}

func (o *createOptions) create(cmd *cobra.Command, f *cmdutil.Factory, name, source string) error {
	if o.replace && o.ignore {
		return errors.New("--replace and --ignore exclude each other")
	}
	s, err := open(f)
	if err != nil {
		return err
	}
	sec := &secret.Secret{Name: name, Driver: o.driver, Options: map[string]string{}, Labels: map[string]string{}}
	for _, l := range o.labels {
		k, v, err := syntax.Label(l)
		if err != nil {
			return err
		}
		sec.Labels[k] = v
	}
	for _, opt := range o.options {
		k, v, err := syntax.KeyValue("driver option", opt)
		if err != nil {
			return err
		}
		sec.Options[k] = v
	}
	var data []byte
	if o.driver == secret.DriverEnv {
		sec.Options["name"] = source
	} else if data, err = o.read(f, source); err != nil {
		return fmt.Errorf("secret %s: %w", name, err)
	}
	err = s.Create(cmd.Context(), sec, data, o.replace)
	if errors.Is(err, secret.ErrExists) && o.ignore {
		sec, err = s.Lookup(name)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f.Out, sec.ID)
	return err
}

// read reads one byte more than a secret can have, so that too much is noticed.
func (o *createOptions) read(f *cmdutil.Factory, source string) ([]byte, error) {
	switch {
	case o.env:
		for _, e := range f.Environ {
			if v, ok := strings.CutPrefix(e, source+"="); ok {
				return []byte(v), nil
			}
		}
		return nil, problem.Hint(fmt.Errorf("the variable %s is not set", source), "run: export %s=…", source)
	case source == "-" && term.IsTerminal(f.In):
		return nil, problem.Hint(errors.New("it would show on the terminal"), "give a file, or pipe it in: pass show NAME | nook secret create …")
	case source == "-":
		return io.ReadAll(io.LimitReader(f.In, secret.MaxSize+1))
	}
	in, err := os.Open(source)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	return io.ReadAll(io.LimitReader(in, secret.MaxSize+1))
}
