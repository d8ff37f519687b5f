package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/nook-containers/nook/libpod/ocispec"
	"github.com/nook-containers/nook/libpod/pod"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/store"
	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/pkg/sys/kern"
)

// StartInfra starts the infra container of a pod unless it runs, and returns when
// it does.
type StartInfra func(ctx context.Context, p *pod.Pod) error

// joined is what a container has of others: namespaces, each open, and the shared
// memory that goes with an ipc namespace.
type joined struct {
	spec       spec.Container // the request, with what this start changes of it
	namespaces []specs.LinuxNamespace
	shm        *os.File // detached mount, or nil
	files      []*os.File
}

func (j *joined) close() {
	for _, f := range j.files {
		f.Close()
	}
}

// tries is how often an infra container may end between its start and the moment
// that its namespaces are open: the last container of its pod has ended meanwhile.
const tries = 5

// join opens the namespaces that c has of other containers. They must run, and as
// long as the files are open the namespaces are there.
func (e *Engine) join(ctx context.Context, c *state.Container, o StartOptions) (*joined, error) {
	for try := 1; ; try++ {
		if err := e.readyPod(ctx, c, o); err != nil {
			return nil, err
		}
		j, err := e.joinOnce(c)
		if !errors.Is(err, ErrNotRunning) || c.Spec.Pod == "" || try == tries {
			return j, err
		}
	}
}

func (e *Engine) joinOnce(c *state.Container) (_ *joined, err error) {
	j := &joined{spec: c.Spec}
	defer func() {
		if err != nil {
			j.close()
		}
	}()
	if c.Spec.Infra {
		if err := e.inheritNamespaces(c, &j.spec); err != nil {
			return nil, err
		}
	}
	if j.spec.UserNS.Mode == spec.UserNSPath && j.spec.UserNS.From == "" {
		if err := j.openUserNS(); err != nil {
			return nil, err
		}
	}
	if mode, path := j.spec.NetworkMode(); mode == spec.NetworkPath {
		if err := j.openPath(path); err != nil {
			return nil, fmt.Errorf("join network namespace: %w", err)
		}
	}
	runs := map[string]state.Run{}
	for _, want := range ocispec.Joins(j.spec) {
		run, known := runs[want.From]
		if !known {
			if run, err = e.runOf(c, want); err != nil {
				return nil, err
			}
			runs[want.From] = run
		}
		if err := j.open(run, want); err != nil {
			return nil, fmt.Errorf("join %s namespace of container %s: %w", want.Type, want.From[:12], err)
		}
	}
	return j, nil
}

// runOf finds the process to join.
func (e *Engine) runOf(c *state.Container, want ocispec.Join) (state.Run, error) {
	other, err := e.State.Lookup(want.From)
	if err != nil {
		return state.Run{}, fmt.Errorf("%s: has the %s namespace of container %w", c.Name, want.Type, err)
	}
	st, err := other.Status()
	if err == nil && !st.Alive() {
		err = problem.Hint(fmt.Errorf("%s: has the %s namespace of container %s: %w", c.Name, want.Type, other.Name, ErrNotRunning),
			"run: nook start %s", other.Name)
	}
	return st.Run, err
}

func (j *joined) open(run state.Run, want ocispec.Join) error {
	f, err := j.openOf(run, "ns/"+nsFile(want.Type))
	if err != nil {
		return err
	}
	j.namespaces = append(j.namespaces, specs.LinuxNamespace{
		// Not by way of /proc/self, which an external runtime would take for its own.
		Type: want.Type, Path: fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), f.Fd()),
	})
	if want.Type != specs.IPCNamespace {
		return nil
	}
	mounts, err := j.openOf(run, "ns/mnt")
	if err != nil {
		return err
	}
	if j.shm, err = sys.CloneIn(mounts, ocispec.ShmDir); err != nil {
		return err
	}
	j.files = append(j.files, j.shm)
	if magic, err := kern.FSMagic(int(j.shm.Fd())); err != nil || magic != kern.TmpfsMagic {
		return errors.Join(err, errors.New("it has no shared memory of its own at "+ocispec.ShmDir))
	}
	return nil
}

// openPath opens the network namespace at path.
func (j *joined) openPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	j.files = append(j.files, f)
	j.namespaces = append(j.namespaces, specs.LinuxNamespace{
		Type: specs.NetworkNamespace, Path: fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), f.Fd()),
	})
	return nil
}

func (j *joined) openOf(run state.Run, name string) (*os.File, error) {
	f, err := run.Open(name)
	if err == nil && f == nil {
		err = ErrNotRunning
	}
	if err != nil {
		return nil, err
	}
	j.files = append(j.files, f)
	return f, nil
}

// nsFile is the name below /proc/PID/ns.
func nsFile(t specs.LinuxNamespaceType) string {
	if t == specs.NetworkNamespace {
		return "net"
	}
	return string(t)
}

// readyPod starts the infra container that c needs.
func (e *Engine) readyPod(ctx context.Context, c *state.Container, o StartOptions) error {
	if c.Spec.Pod == "" || c.Spec.Infra {
		return nil
	}
	p, err := pod.Of(e.State).Lookup(c.Spec.Pod)
	if err != nil {
		return fmt.Errorf("%s: pod %w", c.Name, err)
	}
	if p.InfraID == "" || o.Infra == nil {
		return nil
	}
	return o.Infra(ctx, p)
}

// inheritNamespaces lets the infra container c, whose former process was killed,
// have the namespaces from a container of the pod that still runs in them.
func (e *Engine) inheritNamespaces(c *state.Container, s *spec.Container) error {
	members, err := pod.Of(e.State).Members(c.Spec.Pod)
	if err != nil {
		return err
	}
	for _, m := range members {
		if m.ID == c.ID {
			continue // to ask for our own lock would drop it (fcntl(2))
		}
		mine := slices.DeleteFunc(ocispec.Joins(m.Spec), func(j ocispec.Join) bool { return j.From != c.ID })
		if len(mine) == 0 {
			continue
		}
		if st, err := m.Status(); err != nil || !st.Alive() {
			continue
		}
		from := spec.NSContainer + m.ID
		for _, j := range mine {
			switch j.Type {
			case specs.UserNamespace:
				s.UserNS.From = m.ID
			case specs.NetworkNamespace:
				s.Network = from
			case specs.IPCNamespace:
				s.IPC = from
			case specs.PIDNamespace:
				s.PID = from
			case specs.UTSNamespace:
				s.UTS = from
			case specs.CgroupNamespace:
				s.CgroupNS = from
			default:
			}
		}
		s.Sysctls = nil // they are set
		return nil
	}
	return nil
}

// emptyRoot is a root file system with nothing in it.
func emptyRoot(u spec.UserNS) (*store.RootFS, error) {
	ids, err := idMaps(u)
	if err != nil {
		return nil, err
	}
	fd, err := kern.NewFS("tmpfs", kern.AttrNosuid|kern.AttrNodev, "mode=755", "size=64k",
		fmt.Sprintf("uid=%d", outsideID(ids.UIDs, 0)), fmt.Sprintf("gid=%d", outsideID(ids.GIDs, 0)))
	if err != nil {
		return nil, fmt.Errorf("make an empty root file system: %w", err)
	}
	return &store.RootFS{Mount: os.NewFile(uintptr(fd), "empty root")}, nil //nolint:gosec // a descriptor
}

// holdPod keeps the pod of c from being removed until letGo is called.
func (e *Engine) holdPod(c *state.Container) (letGo func(), err error) {
	if c.Spec.Pod == "" {
		return func() {}, nil
	}
	p, err := pod.Of(e.State).Lookup(c.Spec.Pod)
	if err != nil {
		return nil, fmt.Errorf("pod %w", err)
	}
	f, err := p.Hold()
	if err != nil {
		return nil, fmt.Errorf("pod %w", err)
	}
	return func() { f.Close() }, nil
}

// Needs are the ids of the containers that c requires or has namespaces of.
func Needs(c *state.Container) []string {
	ids := slices.Clone(c.Spec.Requires)
	for _, j := range ocispec.Joins(c.Spec) {
		ids = append(ids, j.From)
	}
	return ids
}

// Dependents returns the containers that need c, which is no pod's infra container.
func Dependents(c *state.Container) ([]*state.Container, error) {
	all, errs := c.Store().Mentioning(c.ID)
	all = slices.DeleteFunc(all, func(d *state.Container) bool {
		return !slices.Contains(Needs(d), c.ID)
	})
	return all, errors.Join(errs...)
}

func namesOf(list []*state.Container) string {
	var names []string
	for _, c := range list {
		names = append(names, c.Name)
	}
	return strings.Join(names, " ")
}
