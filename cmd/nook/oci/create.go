package oci

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/pkg/oci"
	"github.com/nook-containers/nook/pkg/oci/bundle"
	"github.com/nook-containers/nook/pkg/oci/state"
	"github.com/nook-containers/nook/pkg/sys/kern"
)

// createFlags are those of create and run.
type createFlags struct {
	bundle, pidFile, consoleSocket string
	preserveFDs                    int
	noPivot                        bool
}

func (c *createFlags) register(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringVarP(&c.bundle, "bundle", "b", ".", "directory of the bundle")
	fl.StringVar(&c.pidFile, "pid-file", "", "file to write the pid of the container's init to")
	fl.StringVar(&c.consoleSocket, "console-socket", "", "socket to send the terminal's master to")
	fl.IntVar(&c.preserveFDs, "preserve-fds", 0, "descriptors to pass on, counted from 3")
	fl.BoolVar(&c.noPivot, "no-pivot", false, "refused: a container without pivot_root can leave its root")
}

func newCreate(r *runtime) *cobra.Command {
	var f createFlags
	cmd := &cobra.Command{
		Use:   "create [flags] ID",
		Short: "Make a container of a bundle, up to where its command would start",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := r.begin(args[0], &f)
			if err != nil {
				return err
			}
			_, err = b.create(cmd.Context())
			return err
		},
	}
	f.register(cmd)
	return cmd
}

// building is a container being made.
type building struct {
	flags *createFlags
	spec  *specs.Spec
	cfg   oci.Config
	ctr   *state.Container
	lock  *os.File
	empty bool // config.json has no process

	ownGroup bool // the control group was made for it
}

// begin reads the bundle and reserves the id.
func (r *runtime) begin(id string, f *createFlags) (*building, error) {
	if f.noPivot {
		return nil, errors.New("--no-pivot: not supported, as a container without pivot_root can leave its root")
	}
	dir, err := filepath.Abs(f.bundle)
	if err != nil {
		return nil, err
	}
	spec, err := bundle.Load(dir)
	if err != nil {
		return nil, err
	}
	b := &building{flags: f, spec: spec, empty: spec.Process == nil}
	run := *spec
	if b.empty { // only start needs one
		run.Process = &specs.Process{Cwd: "/", Args: []string{"/"}}
	}
	if err := oci.Validate(&run); err != nil {
		return nil, err
	}
	if run.Process.Terminal && f.consoleSocket == "" {
		return nil, errors.New("process.terminal: needs --console-socket")
	}
	s, err := r.store()
	if err != nil {
		return nil, err
	}
	if b.ctr, b.lock, err = s.Create(id, spec); err != nil {
		return nil, err
	}
	b.cfg = oci.Config{
		ID: id, Spec: &run, Bundle: dir, Stdin: r.In, Stdout: r.Out, Stderr: r.Err, Held: b.lock,
	}
	return b, nil
}

// create makes the container, to be started by another call.
func (b *building) create(ctx context.Context) (_ *oci.Container, err error) {
	defer b.lock.Close()
	defer func() {
		if err != nil {
			err = errors.Join(err, b.ctr.Remove())
		}
	}()
	if b.cfg.Gate, err = b.ctr.Listen(); err != nil {
		return nil, err
	}
	defer b.cfg.Gate.Close()
	if b.cfg.ExtraFiles, err = extraFiles(b.flags.preserveFDs); err != nil {
		return nil, err
	}
	group, err := b.group(ctx)
	if err != nil {
		return nil, err
	}
	if group != nil {
		b.cfg.Cgroup = group.File()
		defer func() {
			if err != nil {
				err = errors.Join(err, b.dropGroup(group))
				return
			}
			group.Close()
		}()
	}
	c, err := oci.Create(ctx, b.cfg)
	if err != nil {
		return nil, err
	}
	if err := b.record(c); err != nil {
		return nil, errors.Join(err, c.Kill())
	}
	return c, nil
}

func (b *building) record(c *oci.Container) error {
	if c.Console != nil {
		defer c.Console.Close()
		if err := sendConsole(b.flags.consoleSocket, c.Console); err != nil {
			return err
		}
	}
	rec := state.Record{Bundle: b.cfg.Bundle, Pid: c.PID, Created: time.Now(), NoProcess: b.empty}
	if b.cfg.Cgroup != nil {
		rec.Cgroup, rec.OwnCgroup = b.cfg.Cgroup.Name(), b.ownGroup
	}
	err := b.ctr.Save(rec)
	if err != nil || b.flags.pidFile == "" {
		return err
	}
	return writePid(b.flags.pidFile, c.PID)
}

// writePid makes the whole file appear at once: others wait for it.
func writePid(path string, pid int) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".pid-*")
	if err != nil {
		return fmt.Errorf("write pid file: %w", err)
	}
	_, err = tmp.WriteString(strconv.Itoa(pid))
	err = errors.Join(err, tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write pid file: %w", err), os.Remove(tmp.Name()))
	}
	return nil
}

// sendConsole hands the terminal to whoever listens (the convention of runc's
// docs/terminals.md: one message, the name, with the descriptor attached).
func sendConsole(socket string, console *os.File) error {
	fd, err := kern.DialStream(socket)
	if err != nil {
		return fmt.Errorf("connect to console socket %s: %w", socket, err)
	}
	defer kern.Close(fd)
	if err := kern.Send(fd, []byte(console.Name()), int(console.Fd())); err != nil {
		return fmt.Errorf("send terminal to %s: %w", socket, err)
	}
	return nil
}

func extraFiles(n int) ([]*os.File, error) {
	const first = 3
	if n < 0 {
		return nil, fmt.Errorf("--preserve-fds %d: want 0 or more", n)
	}
	var files []*os.File
	for fd := first; fd < first+n; fd++ {
		f := os.NewFile(uintptr(fd), "descriptor "+strconv.Itoa(fd))
		if _, err := f.Stat(); err != nil {
			return nil, fmt.Errorf("--preserve-fds %d: descriptor %d: %w", n, fd, err)
		}
		files = append(files, f)
	}
	return files, nil
}
