package pod

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/cmd/nook/container"
	libcontainer "github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/libpod/events"
	"github.com/nook-containers/nook/libpod/pod"
	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/sys"
)

func newStart(f *cmdutil.Factory) *cobra.Command {
	t := &targets{}
	cmd := &cobra.Command{
		Use:     "start [flags] POD...",
		Short:   "Start the containers of pods",
		Long:    "Start all containers of pods in the background, and print what was asked for. Those that run are no error.",
		Example: "  nook pod start web",
		RunE: func(cmd *cobra.Command, args []string) error {
			found, err := t.find(f, args)
			if err != nil {
				return err
			}
			return each(cmd.Context(), f, found, always125, func(ctx context.Context, p *pod.Pod) error { return start(ctx, f, p) })
		},
	}
	t.add(cmd.Flags(), "start")
	t.addFiles(cmd.Flags())
	return cmd
}

// start starts the infra container, and then all others at once.
func start(ctx context.Context, f *cmdutil.Factory, p *pod.Pod) error {
	members, err := libcontainer.PodMembers(p)
	if err != nil {
		return err
	}
	if len(members) == 0 {
		return problem.Hint(fmt.Errorf("pod %s: has no containers", p.Name), "run: nook create --pod %s IMAGE", p.Name)
	}
	if err := container.StartInfra(ctx, f, p); err != nil {
		return err
	}
	err = libcontainer.EachMember(members, func(m libcontainer.PodMember) error {
		if m.Spec.Infra {
			return nil
		}
		if err := container.Start(ctx, f, m.Container); err != nil {
			return fmt.Errorf("start %s: %w", m.Name, err)
		}
		return nil
	})
	if err == nil {
		events.TellPod(p, events.Start)
	}
	return err
}

func newStop(f *cmdutil.Factory) *cobra.Command {
	t, e := &targets{}, &container.Ending{}
	cmd := &cobra.Command{
		Use:     "stop [flags] POD...",
		Short:   "End the containers of pods",
		Long:    "End all containers of pods as the command stop does, all at once, and print what was asked for.",
		Example: "  nook pod stop -t 2 web",
		RunE: func(cmd *cobra.Command, args []string) error {
			wait, err := e.Grace()
			if err != nil {
				return err
			}
			found, err := t.find(f, args)
			if err != nil {
				return err
			}
			return each(cmd.Context(), f, found, always125, func(ctx context.Context, p *pod.Pod) error { return libcontainer.StopPod(ctx, p, wait) })
		},
	}
	t.add(cmd.Flags(), "stop")
	t.addFiles(cmd.Flags())
	e.Add(cmd.Flags())
	cmd.Flags().BoolVarP(&t.ignore, "ignore", "i", false, "a missing pod is no error")
	return cmd
}

func newRestart(f *cmdutil.Factory) *cobra.Command {
	t := &targets{}
	cmd := &cobra.Command{
		Use:     "restart [flags] POD...",
		Short:   "End the containers of pods and start them again",
		Long:    "End all containers of pods, those that run, and start all. They then have new namespaces.",
		Example: "  nook pod restart web",
		RunE: func(cmd *cobra.Command, args []string) error {
			found, err := t.find(f, args)
			if err != nil {
				return err
			}
			return each(cmd.Context(), f, found, always125, func(ctx context.Context, p *pod.Pod) error {
				if err := libcontainer.StopPod(ctx, p, libcontainer.OwnGrace); err != nil {
					return err
				}
				return start(ctx, f, p)
			})
		},
	}
	t.add(cmd.Flags(), "restart")
	return cmd
}

func newKill(f *cmdutil.Factory) *cobra.Command {
	t, name := &targets{}, ""
	cmd := &cobra.Command{
		Use:     "kill [flags] POD...",
		Short:   "Send a signal to the containers of pods",
		Long:    "Send a signal, SIGKILL unless told otherwise, to the first process of each running container of pods.",
		Example: "  nook pod kill -s HUP web",
		RunE: func(cmd *cobra.Command, args []string) error {
			sig, err := sys.ParseSignal(name)
			if err != nil {
				return err
			}
			found, err := t.find(f, args)
			if err != nil {
				return err
			}
			return each(cmd.Context(), f, found, always125, func(_ context.Context, p *pod.Pod) error { return libcontainer.KillPod(p, sig) })
		},
	}
	t.add(cmd.Flags(), "kill")
	cmd.Flags().StringVarP(&name, "signal", "s", "KILL", "name or number")
	return cmd
}

type rmOptions struct {
	targets
	container.Ending
	force bool
}

func newRm(f *cmdutil.Factory) *cobra.Command {
	o := &rmOptions{}
	cmd := &cobra.Command{
		Use:   "rm [flags] POD...",
		Short: "Remove pods and their containers",
		Long: `Remove pods with all their containers and the anonymous volumes of those, and
print what was asked for.

Exit status: 1 if a pod does not exist, 2 if a container of one is running, 125
for any other failure.`,
		Example: "  nook pod rm -f web",
		RunE: func(cmd *cobra.Command, args []string) error {
			o.ignore = o.ignore || o.force
			wait, err := o.Grace()
			if err != nil {
				return err
			}
			if _, err := o.find(f, args); err != nil {
				return err
			}
			return f.InEngine(cmd.Context(), func(ctx context.Context, e *libcontainer.Engine) error {
				found, err := o.find(f, args)
				if err != nil {
					return err
				}
				return errors.Join(e.Sweep(ctx), each(ctx, f, found, failure, func(ctx context.Context, p *pod.Pod) error {
					err := e.RemovePod(ctx, p, libcontainer.RemoveOptions{Force: o.force, Timeout: wait})
					if errors.Is(err, pod.ErrNotFound) && o.ignore {
						return nil // another rm was faster
					}
					return err
				}))
			})
		},
	}
	o.targets.add(cmd.Flags(), "rm")
	o.addFiles(cmd.Flags())
	o.Ending.Add(cmd.Flags())
	cmd.Flags().BoolVarP(&o.force, "force", "f", false, "end running containers first; a missing pod is no error")
	cmd.Flags().BoolVarP(&o.ignore, "ignore", "i", false, "a missing pod is no error")
	return cmd
}

func newPrune(f *cmdutil.Factory) *cobra.Command {
	force := false
	cmd := &cobra.Command{
		Use:     "prune [flags]",
		Short:   "Remove all pods that have ended",
		Long:    "Remove all pods that have run and of which no container runs or is paused, with their\ncontainers, and print their ids. Pods that have never run stay.",
		Example: "  nook pod prune -f",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if ok, err := f.Confirm("This removes all pods that have ended.", force); err != nil || !ok {
				return err
			}
			return f.InEngine(cmd.Context(), func(ctx context.Context, e *libcontainer.Engine) error { return prune(ctx, f, e) })
		},
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "do not ask")
	return cmd
}

func prune(ctx context.Context, f *cmdutil.Factory, e *libcontainer.Engine) error {
	removed, err := Prune(ctx, e, nil)
	for _, id := range removed {
		fmt.Fprintln(f.Out, id)
	}
	return err
}

// Prune removes the pods that have run and do not any more, of those that filters of
// "pod ps" on the pods themselves select, and returns their ids.
func Prune(ctx context.Context, e *libcontainer.Engine, args []string) (removed []string, err error) {
	keep, err := filters().Compile(args)
	if err != nil {
		return nil, err
	}
	list, errs := pod.Of(e.State).List()
	errs = append(errs, e.Sweep(ctx))
	for _, p := range list {
		if !keep(row{p: p}) {
			continue
		}
		ended, err := hasEnded(p)
		if err != nil {
			errs = append(errs, err)
		}
		if !ended {
			continue
		}
		err = e.RemovePod(ctx, p, libcontainer.RemoveOptions{})
		switch {
		case err == nil:
			removed = append(removed, p.ID)
		case failure(err) != cmdutil.ExitFailure: // it runs, or is gone
		default:
			errs = append(errs, err)
		}
	}
	return removed, errors.Join(errs...)
}

// hasEnded reports whether p is in one of the states that podman-pod-prune(1) calls
// stopped.
func hasEnded(p *pod.Pod) (bool, error) {
	members, err := libcontainer.PodMembers(p)
	if err != nil {
		return false, err
	}
	now := libcontainer.PodState(members)
	return now == pod.Exited || now == pod.Stopped, nil
}
