package container

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/libpod/syntax"
)

// portVerbs are the commands below port.
func portVerbs() []cmdutil.Verb {
	return []cmdutil.Verb{{Names: "add", New: newPortAdd}, {Names: "rm", New: newPortRm}}
}

func newPortAdd(f *cmdutil.Factory) *cobra.Command {
	return &cobra.Command{
		Use:   "add [flags] CONTAINER [[ADDRESS:][HOSTPORT]:]PORT[/PROTOCOL]...",
		Short: "Publish more ports of a running container",
		Long: `Publish more ports of a container that runs, as --publish of run does when it starts,
and print them as "nook port" does: all of them, or none and an error. They are
published until the container ends; the next time it starts it has those again that
it was made with.`,
		Example: "  nook port add web 8080:80\n  nook port add web 127.0.0.1::443",
		Args:    cmdutil.MinArgs(2, "a container and a port"),
		RunE: func(_ *cobra.Command, args []string) error {
			ports, err := readPublished(args[1:])
			if err != nil {
				return err
			}
			if a, b, clash := syntax.Clashes(ports); clash {
				return fmt.Errorf("port %s: the host already listens there for %s", syntax.PortText(b), syntax.PortText(a))
			}
			return changePorts(f, args[0], ports, container.AddPorts)
		},
	}
}

func newPortRm(f *cmdutil.Factory) *cobra.Command {
	return &cobra.Command{
		Use:   "rm [flags] CONTAINER [[ADDRESS:][HOSTPORT]:]PORT[/PROTOCOL]...",
		Short: "Take back published ports of a running container",
		Long: `Take back ports of a container that runs, and print what was published. It does not
matter whether they are of its start or were added. A PORT alone is taken back
wherever it is published. The next time the container starts it has those again that
it was made with.`,
		Example: "  nook port rm web 8080:80\n  nook port rm web 80 443",
		Args:    cmdutil.MinArgs(2, "a container and a port"),
		RunE: func(_ *cobra.Command, args []string) error {
			ports, err := readPublished(args[1:])
			if err != nil {
				return err
			}
			return changePorts(f, args[0], ports, container.RemovePorts)
		},
	}
}

func readPublished(texts []string) ([]spec.Port, error) {
	var all []spec.Port
	for _, text := range texts {
		ports, err := syntax.Publish(text)
		if err != nil {
			return nil, err
		}
		all = append(all, ports...)
	}
	return all, nil
}

// changePorts changes ports of the container called name, and prints which.
func changePorts(f *cmdutil.Factory, name string, ports []spec.Port, change func(*state.Container, []spec.Port) ([]spec.Port, error)) error {
	c, err := (&targets{verb: "port"}).one(f, []string{name})
	if err != nil {
		return err
	}
	changed, err := change(c, ports)
	if err != nil {
		exit := container.Failure(err)
		nameHolder(f, &exit)
		if exit.Busy != nil && publisher(f, *exit.Busy) == c.Name {
			exit.Error = fmt.Sprintf("publish %d/%s: %s has that port of the host already", exit.Busy.Port, exit.Busy.Proto, c.Name)
			exit.Hint = "run: nook port " + c.Name
		}
		return outcome(exit, nil)
	}
	return printPorts(f.Out, "", container.EachPort(changed))
}
