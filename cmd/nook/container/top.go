package container

import (
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/container"
)

func newTop(f *cmdutil.Factory) *cobra.Command {
	t := targets{verb: "top"}
	cmd := &cobra.Command{
		Use:   "top [flags] CONTAINER [COLUMN...|PS-OPTIONS]",
		Short: "Show the processes of a running container",
		Long: `Show the processes of a running container. The pids are those inside.

Columns are named as podman does, separate or with commas between, or chosen by
options of ps: -ef, aux, -o LIST. No program of the container is run for it.`,
		Example: "  nook top web\n  nook top web pid,user,hpid,args\n  nook top web -ef",
		RunE: func(_ *cobra.Command, args []string) error {
			return runTop(f, &t, args)
		},
	}
	fl := cmd.Flags()
	fl.SetInterspersed(false) // what follows the container are options of ps
	fl.BoolVarP(&t.latest, "latest", "l", false, "of the container made last")
	return cmd
}

func runTop(f *cmdutil.Factory, t *targets, args []string) error {
	s, err := f.State()
	if err != nil {
		return err
	}
	var name []string
	if !t.latest {
		if len(args) == 0 {
			return errors.New("top needs a container")
		}
		name, args = args[:1], args[1:]
	}
	found, err := t.find(f, s, name)
	if err != nil {
		return err
	}
	if found[0].err != nil {
		return found[0].err
	}
	headings, rows, err := container.Top(found[0].c, args)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(f.Out, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{headings}, rows...) {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	return w.Flush()
}
