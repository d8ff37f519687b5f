package oci

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/pkg/cgroups"
	"github.com/nook-containers/nook/pkg/cgroups/limits"
	"github.com/nook-containers/nook/pkg/config"
	"github.com/nook-containers/nook/pkg/oci/state"
	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/systemd"
)

// group makes the control group that the spec asks for, with its limits; nil where
// it asks for none, or only for a place and no part of the tree is ours.
func (b *building) group(ctx context.Context) (g *cgroups.Group, err error) {
	if b.spec.Linux == nil {
		return nil, nil //nolint:nilnil // as said
	}
	writes, err := limits.Plan(b.spec.Linux.Resources)
	if err != nil {
		return nil, err
	}
	asked := b.spec.Linux.CgroupsPath
	if asked == "" && len(writes) == 0 {
		return nil, nil //nolint:nilnil // as said
	}
	host, err := cgroups.Find()
	if err != nil {
		return nil, err
	}
	if host.Base == "" && len(writes) == 0 {
		return nil, nil //nolint:nilnil // as said
	}
	if err := claimUnit(ctx, &host); err != nil {
		return nil, fmt.Errorf("linux.resources: %w", err)
	}
	if host.Base == "" {
		return nil, problem.Hint(errors.New("linux.resources: no part of a cgroup v2 tree is yours"),
			"run: systemd-run --user --scope -p Delegate=yes nook oci ...")
	}
	if err := cgroups.Check(host.Base, writes); err != nil {
		return nil, fmt.Errorf("linux.resources: %w", err)
	}
	dir := groupDir(host, asked, b.cfg.ID)
	if g, b.ownGroup, err = cgroups.MakeEmpty(dir); err != nil {
		return nil, fmt.Errorf("linux.cgroupsPath: %w", err)
	}
	err = cgroups.Enable(host.Base, filepath.Dir(dir), cgroups.Needed(writes))
	if err == nil {
		err = g.Set(writes)
	}
	if err != nil {
		return nil, errors.Join(err, b.dropGroup(g))
	}
	return g, nil
}

// claimUnit asks the user's systemd for the unit that this process is in.
func claimUnit(ctx context.Context, host *cgroups.Host) error {
	unit := host.Unit()
	if !host.Managed || unit == "" {
		return nil
	}
	yes, err := systemd.AskDelegated(ctx, managers(), filepath.Base(unit))
	if err == nil && yes {
		host.Delegate()
	}
	return err
}

// managers is where the user's systemd may be.
func managers() []systemd.Address {
	var out []systemd.Address
	for _, s := range config.ManagerSockets() {
		out = append(out, systemd.Address(s))
	}
	return out
}

// dropGroup undoes group.
func (b *building) dropGroup(g *cgroups.Group) error {
	if !b.ownGroup {
		return g.Close()
	}
	return g.Remove()
}

// groupDir is where the group of a container goes: where the spec says, if that is
// ours, else at the same place below what is. SLICE:PREFIX:NAME is how callers of
// systemd spell it.
func groupDir(host cgroups.Host, asked, id string) string {
	if asked == "" {
		return filepath.Join(host.Base, "oci-"+id)
	}
	if part := strings.Split(asked, ":"); len(part) == 3 && !strings.Contains(asked, "/") {
		name := part[2]
		if part[1] != "" {
			name = part[1] + "-" + name
		}
		return filepath.Join(host.Base, part[0], name+".scope")
	}
	if filepath.IsAbs(asked) {
		if dir, ok := host.Dir(filepath.Clean(asked)); ok && strings.HasPrefix(dir, host.Base+"/") {
			return dir
		}
	}
	return filepath.Join(host.Base, filepath.Clean("/"+asked))
}

func newPause(r *runtime) *cobra.Command {
	return r.onGroup(&cobra.Command{Use: "pause ID", Short: "Make the processes of a container stand still"}, func(dir string) error {
		const limit = 10 * time.Second
		return cgroups.Freeze(dir, limit)
	})
}

func newResume(r *runtime) *cobra.Command {
	return r.onGroup(&cobra.Command{Use: "resume ID", Short: "Let the processes of a paused container go on"}, cgroups.Thaw)
}

func newUpdate(r *runtime) *cobra.Command {
	file := "-"
	cmd := &cobra.Command{
		Use: "update [flags] ID", Short: "Change the limits of a container",
		Long: "Change the limits of a container to those of a JSON file, in the form of linux.resources of a config.json.",
	}
	r.onGroup(cmd, func(dir string) error {
		writes, err := readLimits(r.In, file)
		if err != nil {
			return err
		}
		parent := filepath.Dir(dir)
		if err := cgroups.Check(parent, writes); err != nil {
			return err
		}
		if err := cgroups.Enable(parent, parent, cgroups.Needed(writes)); err != nil {
			return err
		}
		return cgroups.Set(dir, writes)
	})
	cmd.Flags().StringVarP(&file, "resources", "r", "-", "the file, or - for standard input")
	return cmd
}

func readLimits(stdin io.Reader, file string) ([]cgroups.Write, error) {
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		stdin = f
	}
	var res specs.LinuxResources
	if err := json.NewDecoder(stdin).Decode(&res); err != nil {
		return nil, fmt.Errorf("read limits: %w", err)
	}
	return limits.Plan(&res)
}

// onGroup completes a command that works on the control group of a container that
// has not ended.
func (r *runtime) onGroup(cmd *cobra.Command, work func(dir string) error) *cobra.Command {
	cmd.Args = cobra.ExactArgs(1)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := r.open(args[0])
		if err != nil {
			return err
		}
		rec, status, err := c.Status()
		if err == nil && status != specs.StateCreated && status != specs.StateRunning && status != state.Paused {
			err = fmt.Errorf("it is %s", status)
		}
		if err == nil && rec.Cgroup == "" {
			err = errors.New("it has no control group: its config.json has no linux.cgroupsPath, or no part of the tree was yours")
		}
		if err == nil {
			err = work(rec.Cgroup)
		}
		if err != nil {
			return fmt.Errorf("%s container %s: %w", cmd.Name(), args[0], err)
		}
		return nil
	}
	return cmd
}
