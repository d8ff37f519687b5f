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
	ids   userns.Map
	count int
}

// secrets adds the secrets of the container. session has those that only the
// user's session could read.
func (m *mounter) secrets(ctx context.Context, session map[string][]byte) (err error) {
	if len(m.c.Spec.Secrets) == 0 {
		return nil
	}
	d := &delivery{}
	if d.ids, err = idMaps(m.c.Spec.UserNS); err != nil {
		return err
	}
	m.undo.Push("unmount the secrets", d.close)
	for _, want := range m.c.Spec.Secrets {
		data, ok := session[want.Name]
		if !ok {
			if data, err = m.e.secretData(ctx, want.Name); err != nil {
				return err
			}
		}
		if want.Type == spec.SecretEnv {
			err = addVariable(m.spec.Process, want.Target, data)
		} else {
			err = m.secretFile(d, want, data)
		}
		if err != nil {
			return fmt.Errorf("secret %s: %w", want.Name, err)
		}
	}
	if d.dir == "" {
		return nil
	}
	return m.addTree(secretsDir, filepath.Join(d.dir, "run"))
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

// secretFile writes one secret: in the directory that becomes /run/secrets, or
// beside it for a place of its own.
func (m *mounter) secretFile(d *delivery, want spec.Secret, data []byte) error {
	if err := d.open(m.c); err != nil {
		return err
	}
	rel, inDir := strings.CutPrefix(want.Target, secretsDir+"/")
	if inDir {
		rel = "run/" + rel
		if err := d.makeDir(filepath.Dir(rel)); err != nil {
			return err
		}
	} else {
		d.count++
		rel = strconv.Itoa(d.count)
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
	uid, gid := outsideID(d.ids.UIDs, want.UID), outsideID(d.ids.GIDs, want.GID)
	err = errors.Join(err, f.Chmod(os.FileMode(want.Mode)), f.Chown(int(uid), int(gid)), f.Close())
	if err != nil || inDir {
		return err
	}
	return m.addTree(want.Target, path)
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
		uid, gid := outsideID(d.ids.UIDs, 0), outsideID(d.ids.GIDs, 0)
		if err := errors.Join(os.Chmod(path, 0o755), os.Chown(path, int(uid), int(gid))); err != nil {
			return err
		}
	}
	return nil
}

// addTree adds a mount of a part of the tmpfs to the spec.
func (m *mounter) addTree(target, path string) error {
	if m.find(target) != nil {
		return fmt.Errorf("secrets: %s is mounted already", target)
	}
	tree, err := sys.CloneDirs(path)
	if err != nil {
		return err
	}
	m.undo.Push("close "+target, tree.Close)
	m.trees[target] = tree
	m.spec.Mounts = append(m.spec.Mounts, specs.Mount{
		Destination: target, Type: "bind", Source: path,
		Options: []string{"bind", "ro", "rprivate", "nosuid", "nodev", "noexec"},
	})
	return nil
}

// close takes the tmpfs out of this process's sight; what the container has stays.
func (d *delivery) close() error {
	if d.dir == "" {
		return nil
	}
	_, err := sys.Unmount(d.dir)
	return errors.Join(err, os.Remove(d.dir))
}
