package pod

import (
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/cmd/nook/container"
	libcontainer "github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/libpod/pod"
	"github.com/nook-containers/nook/libpod/state"
)

func newInspect(f *cmdutil.Factory) *cobra.Command {
	t, format := &targets{verb: "inspect"}, ""
	cmd := &cobra.Command{
		Use:     "inspect [flags] POD...",
		Short:   "Show all about pods",
		Example: "  nook pod inspect --format '{{.State}}' web",
		RunE: func(_ *cobra.Command, args []string) error {
			targets, err := t.find(f, args)
			if err != nil {
				return err
			}
			var found []*libcontainer.PodInspect
			var errs []error
			for _, t := range targets {
				err := t.err
				if err == nil {
					var in *libcontainer.PodInspect
					if in, err = libcontainer.DescribePod(t.pod); err == nil {
						found = append(found, in)
					}
				}
				errs = append(errs, err)
			}
			// What is there shows also when others are not.
			return errors.Join(cmdutil.RenderObjects(f.Out, format, found), errors.Join(errs...))
		},
	}
	cmd.Flags().BoolVarP(&t.latest, "latest", "l", false, "the pod made last")
	cmd.Flags().StringVarP(&format, "format", "f", "", "`json` or TEMPLATE")
	return cmd
}

// Describe is what "pod inspect" shows about one pod.
func Describe(f *cmdutil.Factory, nameOrID string) (*libcontainer.PodInspect, error) {
	s, err := open(f)
	if err != nil {
		return nil, err
	}
	p, err := s.Lookup(nameOrID)
	if err != nil {
		return nil, err
	}
	return libcontainer.DescribePod(p)
}

// one finds the pod that is asked for, and returns the arguments after it.
func (t *targets) one(f *cmdutil.Factory, args []string) (*pod.Pod, []string, error) {
	var name []string
	if !t.latest {
		if len(args) == 0 {
			return nil, nil, fmt.Errorf("pod %s needs a pod", t.verb)
		}
		name, args = args[:1], args[1:]
	}
	found, err := t.find(f, name)
	if err != nil {
		return nil, nil, err
	}
	return found[0].pod, args, found[0].err
}

func newTop(f *cmdutil.Factory) *cobra.Command {
	t := &targets{verb: "top"}
	cmd := &cobra.Command{
		Use:     "top [flags] POD [COLUMN...|PS-OPTIONS]",
		Short:   "Show the processes of a pod",
		Long:    "Show the processes of the running containers of a pod, with the columns of the command top.",
		Example: "  nook pod top web\n  nook pod top web pid,user,args",
		RunE: func(_ *cobra.Command, args []string) error {
			p, columns, err := t.one(f, args)
			if err != nil {
				return err
			}
			return top(f, p, columns)
		},
	}
	cmd.Flags().SetInterspersed(false) // what follows the pod are options of ps
	cmd.Flags().BoolVarP(&t.latest, "latest", "l", false, "of the pod made last")
	return cmd
}

func top(f *cmdutil.Factory, p *pod.Pod, columns []string) error {
	members, err := libcontainer.PodMembers(p)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(f.Out, 0, 0, 2, ' ', 0)
	headed := false
	for _, m := range members {
		if !m.Alive() {
			continue
		}
		headings, rows, err := libcontainer.Top(m.Container, columns)
		if errors.Is(err, libcontainer.ErrNotRunning) {
			continue // it has just ended
		}
		if err != nil {
			return err
		}
		if !headed {
			rows, headed = append([][]string{headings}, rows...), true
		}
		for _, row := range rows {
			fmt.Fprintln(w, strings.Join(row, "\t"))
		}
	}
	return w.Flush()
}

func newLogs(f *cmdutil.Factory) *cobra.Command {
	t, only, o := &targets{verb: "logs"}, "", &container.Logs{}
	cmd := &cobra.Command{
		Use:     "logs [flags] POD",
		Short:   "Show what the containers of a pod wrote",
		Long:    "Show what the containers of a pod wrote, lines in the order of their times, with the flags of the command logs.",
		Example: "  nook pod logs -f --names web\n  nook pod logs -c db web",
		RunE: func(cmd *cobra.Command, args []string) error {
			p, rest, err := t.one(f, args)
			if err != nil {
				return err
			}
			if len(rest) > 0 {
				return fmt.Errorf("pod logs: unexpected argument %q", rest[0])
			}
			all, err := logged(p, only)
			if err != nil {
				return err
			}
			return o.Show(cmd.Context(), f, all)
		},
	}
	o.Add(cmd.Flags())
	cmd.Flags().BoolVarP(&t.latest, "latest", "l", false, "of the pod made last")
	cmd.Flags().StringVarP(&only, "container", "c", "", "only of this container")
	return cmd
}

// logged are the containers whose logs to show.
func logged(p *pod.Pod, only string) ([]*state.Container, error) {
	members, err := libcontainer.PodMembers(p)
	if err != nil {
		return nil, err
	}
	id := ""
	if only != "" {
		c, err := p.Containers().Lookup(only)
		if err != nil {
			return nil, err
		}
		if c.Spec.Pod != p.ID {
			return nil, fmt.Errorf("container %s: is not in pod %s", only, p.Name)
		}
		id = c.ID
	}
	var all []*state.Container
	for _, m := range members {
		if !m.Spec.Infra && (id == "" || m.ID == id) {
			all = append(all, m.Container)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("pod %s: has no containers", p.Name)
	}
	return all, nil
}
