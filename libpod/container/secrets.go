package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/nook-containers/nook/libpod/secret"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/userns"
)

// secretsDir is where a container finds its secrets.
const secretsDir = "/run/secrets"

// A delivery is the secrets of one start, on their way into the container: files
// in a tmpfs that only this process's mount namespace has. What the container gets
// of it are detached mounts, so that nothing is ever written to a disk.
type delivery struct {
	dir   string // "" without files
	trees map[string]*os.File
	ids   userns.Map
	count int
}

// deliver adds the secrets of c to the spec. session has those that only the
// user's session could read.
func (e *Engine) deliver(ctx context.Context, c *state.Container, s *specs.Spec, session map[string][]byte) (_ *delivery, err error) {
	d := &delivery{trees: map[string]*os.File{}}
	if len(c.Spec.Secrets) == 0 {
		return d, nil
	}
	if d.ids, err = idMaps(c.Spec.UserNS); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			d.close(e.Notice)
		}
	}()
	for _, want := range c.Spec.Secrets {
		data, ok := session[want.Name]
		if !ok {
			if data, err = e.secretData(ctx, want.Name); err != nil {
				return nil, err
			}
		}
		if want.Type == spec.SecretEnv {
			err = addVariable(s.Process, want.Target, data)
		} else {
			err = d.file(c, want, data)
		}
		if err != nil {
			return nil, fmt.Errorf("secret %s: %w", want.Name, err)
		}
	}
	return d, d.mount(s)
}

func (e *Engine) secretData(ctx context.Context, name string) ([]byte, error) {
	store := secret.Store{Dir: filepath.Join(e.State.Dir, "secrets")}
	sec, err := store.Lookup(name)
	if err != nil {
		return nil, err
	}
	return store.Data(ctx, sec)
}

func addVariable(p *specs.Process, name string, data []byte) error {
	if strings.IndexByte(string(data), 0) >= 0 {
		return errors.New("it holds a NUL byte, which no variable can; use type=mount")
	}
	p.Env = slices.DeleteFunc(p.Env, func(e string) bool { return strings.HasPrefix(e, name+"=") })
	p.Env = append(p.Env, name+"="+string(data))
	return nil
}

// open mounts the tmpfs, once.
func (d *delivery) open(c *state.Container) error {
	if d.dir != "" {
		return nil
	}
	dir := filepath.Join(c.RunDir(), "secrets")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := sys.Mount("tmpfs", dir, "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV|syscall.MS_NOEXEC, "mode=0700"); err != nil {
		return err
	}
	d.dir = dir
	return d.makeDir("run")
}

// file writes one secret: in the directory that becomes /run/secrets, or beside it
// for a place of its own.
func (d *delivery) file(c *state.Container, want spec.Secret, data []byte) error {
	if err := d.open(c); err != nil {
		return err
	}
	rel, inDir := strings.CutPrefix(want.Target, secretsDir+"/")
	if !inDir {
		d.count++
		rel = strconv.Itoa(d.count)
		d.trees[want.Target] = nil
	} else if rel = "run/" + rel; strings.Contains(rel[4:], "/") {
		if err := d.makeDir(filepath.Dir(rel)); err != nil {
			return err
		}
	}
	path := filepath.Join(d.dir, rel)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s: taken by another secret", want.Target)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	uid, gid := outside(d.ids.UIDs, want.UID), outside(d.ids.GIDs, want.GID)
	err = errors.Join(err, f.Chmod(os.FileMode(want.Mode)), f.Chown(int(uid), int(gid)), f.Close())
	if err == nil && !inDir {
		d.trees[want.Target], err = sys.CloneDirs(path)
	}
	return err
}

// makeDir makes a directory, and those it is in, of the container's root.
func (d *delivery) makeDir(rel string) error {
	path := d.dir
	for part := range strings.SplitSeq(rel, "/") {
		path = filepath.Join(path, part)
		if err := os.Mkdir(path, 0o755); errors.Is(err, os.ErrExist) {
			continue
		} else if err != nil {
			return err
		}
		uid, gid := outside(d.ids.UIDs, 0), outside(d.ids.GIDs, 0)
		if err := errors.Join(os.Chmod(path, 0o755), os.Chown(path, int(uid), int(gid))); err != nil {
			return err
		}
	}
	return nil
}

// mount adds the mounts to the spec.
func (d *delivery) mount(s *specs.Spec) (err error) {
	if d.dir == "" {
		return nil
	}
	if d.trees[secretsDir], err = sys.CloneDirs(filepath.Join(d.dir, "run")); err != nil {
		return err
	}
	for target, tree := range d.trees {
		if slices.ContainsFunc(s.Mounts, func(m specs.Mount) bool { return m.Destination == target }) {
			return fmt.Errorf("secrets: %s is mounted already", target)
		}
		// An external runtime takes the source by its path, while it is mounted.
		s.Mounts = append(s.Mounts, specs.Mount{
			Destination: target, Type: "bind", Source: tree.Name(),
			Options: []string{"bind", "ro", "rprivate", "nosuid", "nodev", "noexec"},
		})
	}
	return nil
}

// close takes the tmpfs out of this process's sight; what the container has stays.
func (d *delivery) close(notice func(string)) {
	var errs []error
	for _, t := range d.trees {
		if t != nil {
			errs = append(errs, t.Close())
		}
	}
	if d.dir != "" {
		_, err := sys.Unmount(d.dir)
		errs = append(errs, err, os.Remove(d.dir))
	}
	if err := errors.Join(errs...); err != nil {
		notice("secrets: " + err.Error())
	}
}
