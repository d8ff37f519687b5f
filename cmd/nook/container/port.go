package container

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/libpod/syntax"
	"github.com/nook-containers/nook/pkg/problem"
)

func newPort(f *cmdutil.Factory) *cobra.Command {
	t := &targets{verb: "port", flags: []string{"--latest", "--all"}}
	cmd := &cobra.Command{
		Use:   "port [flags] CONTAINER [PORT[/PROTOCOL]]",
		Short: "List the published ports of containers",
		Long: `List the ports of a container that are published on the host, one a line, or where
one of them is. It is an error if that one is not published.

"port add" and "port rm" change what a running container publishes, until it ends.
A container that is called add or rm goes by its id here.`,
		Example: "  nook port web\n  nook port web 80/tcp",
		RunE: func(_ *cobra.Command, args []string) error {
			s, err := f.State()
			if err != nil {
				return err
			}
			var names []string
			if !t.all && !t.latest && len(args) > 0 {
				names, args = args[:1], args[1:]
			}
			if len(args) > 1 || t.all && len(args) > 0 {
				return problem.Hint(fmt.Errorf("port: unexpected argument %q", args[len(args)-1]), "run: nook port --help")
			}
			found, err := t.find(f, s, names)
			if err != nil {
				return err
			}
			var errs []error
			for _, one := range found {
				if one.err == nil && len(args) == 1 {
					one.err = onePort(f.Out, one.c, args[0])
				} else if one.err == nil {
					one.err = allPorts(f.Out, one.c, len(found) > 1 || t.all)
				}
				errs = append(errs, one.err)
			}
			return errors.Join(errs...)
		},
	}
	cmd.Flags().BoolVarP(&t.all, "all", "a", false, "of every container")
	cmd.Flags().BoolVarP(&t.latest, "latest", "l", false, "of the container made last")
	return cmd
}

// allPorts prints where each port of c is published, with its id where there are
// several containers.
func allPorts(w io.Writer, c *state.Container, several bool) error { //nolint:revive // a column more
	st, err := c.Status()
	if err != nil {
		return err
	}
	prefix := ""
	if several {
		prefix = c.Short() + "\t"
	}
	return printPorts(w, prefix, container.PublishedPorts(c, st))
}

func printPorts(w io.Writer, prefix string, ports []container.Published) error {
	for _, p := range ports {
		if _, err := fmt.Fprintf(w, "%s%s -> %s\n", prefix, p.Key(), p.Host); err != nil {
			return err
		}
	}
	return nil
}

// onePort prints where one port is published.
func onePort(w io.Writer, c *state.Container, text string) error {
	ports, err := syntax.Expose(text)
	if err != nil {
		return err
	}
	st, err := c.Status()
	if err != nil {
		return err
	}
	found := false
	for _, p := range container.PublishedPorts(c, st) {
		if p.Container == ports[0].ContainerPort && p.Proto == ports[0].Proto {
			found = true
			if _, err := fmt.Fprintln(w, p.Host); err != nil {
				return err
			}
		}
	}
	if !found {
		return problem.Hint(fmt.Errorf("%s: no published port %d/%s", c.Name, ports[0].ContainerPort, ports[0].Proto), "run: nook port %s", c.Name)
	}
	return nil
}
