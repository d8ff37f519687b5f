package container

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/problem"
)

func newPort(f *cmdutil.Factory) *cobra.Command {
	t := &targets{verb: "port"}
	cmd := &cobra.Command{
		Use:   "port [flags] CONTAINER [PORT[/PROTOCOL]]",
		Short: "List the published ports of containers",
		Long: `List the ports of a container that are published on the host, one a line, or where
one of them is. It is an error if that one is not published.`,
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
				if one.err != nil {
					errs = append(errs, one.err)
				} else if len(args) == 1 {
					errs = append(errs, onePort(one.c, args[0]))
				}
			}
			return errors.Join(errs...)
		},
	}
	cmd.Flags().BoolVarP(&t.all, "all", "a", false, "of every container")
	cmd.Flags().BoolVarP(&t.latest, "latest", "l", false, "of the container made last")
	return cmd
}

// onePort finds where a port is published: nowhere, as there are no networks that
// ports could be published from.
func onePort(c *state.Container, text string) error {
	port, proto, ok := strings.Cut(text, "/")
	if !ok {
		proto = "tcp"
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || proto != "tcp" && proto != "udp" && proto != "sctp" {
		return fmt.Errorf("port %q: want a number from 1 to 65535, and /tcp, /udp or /sctp", text)
	}
	return problem.Hint(fmt.Errorf("%s: no published port %d/%s", c.Name, n, proto), "run: nook port %s", c.Name)
}
