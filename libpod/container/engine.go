// Package container makes, runs, shows and removes containers.
//
// The half that needs layers (Engine) works inside the user's namespace, in a
// process that becomes the container's monitor: it holds the monitor lock, is
// the parent of the container's first process, and owns its terminal or pipes.
// The half that only reads records (Inspect, state.Store) works anywhere.
package container

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/nook-containers/nook/libpod/attach"
	"github.com/nook-containers/nook/libpod/events"
	"github.com/nook-containers/nook/libpod/image"
	"github.com/nook-containers/nook/libpod/ocispec"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/libpod/volume"
	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/statefile"
	"github.com/nook-containers/nook/pkg/store"
	"github.com/nook-containers/nook/pkg/sys"
)

// Engine does the work on containers that needs their layers.
type Engine struct {
	State   state.Store
	Layers  *store.Store
	Runtime string       // path of an external OCI runtime; empty: our own
	Notice  func(string) // what the user should know; never nil
	CDI     []string     // directories with descriptions of devices, the last one being the most important
}

// Request asks for a new container.
type Request struct {
	ID      string            `json:"-"` // of the container; empty: made up
	Spec    spec.Container    `json:"spec"`
	Pull    image.PullOptions `json:"pull"`
	CIDFile string            `json:"cidFile,omitempty"` // absolute; gets the id
	PIDFile string            `json:"pidFile,omitempty"` // absolute; gets the pid of the first process
	Monitor string            `json:"monitor,omitempty"` // absolute; gets the pid of the process that looks after it
	Replace bool              `json:"replace,omitempty"` // remove a container of the same name first
	Size    attach.Size       `json:"size,omitzero"`     // of the terminal
	// Destroy is the id of a container that is removed once this one is made.
	Destroy string `json:"destroy,omitempty"`
	// Run starts the container; otherwise it stays created.
	Run bool `json:"run,omitempty"`
}

// Create makes a container and returns it held by this process. Nothing is left
// of one that could not be made.
func (e *Engine) Create(ctx context.Context, r Request) (_ *state.Container, err error) {
	e.sweep(ctx)
	r.Pull.Pulled = func(id, name string) { events.TellImage(e.State, events.Pull, id, name) }
	cfg, img, err := e.plan(ctx, r)
	if err != nil {
		return nil, err
	}
	if r.Replace {
		if err := e.replace(ctx, cfg.Name); err != nil {
			return nil, err
		}
	}
	letGo, err := e.chooseIDs(&cfg.Spec.UserNS, func() (uint32, error) { return e.estimate(&cfg) })
	if err != nil {
		return nil, err
	}
	defer letGo()
	reserve := e.State.Create
	if r.Spec.Remove && r.Run {
		reserve = e.State.CreateEphemeral
	}
	c, err := reserve(cfg)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.forget(cfg.ID), c.Discard())
		}
	}()
	if img != nil {
		release, err := e.createLayer(c, img, r)
		if err != nil {
			return nil, err
		}
		defer release()
	}
	if err := e.commitWithVolumes(c, r); err != nil {
		return nil, err
	}
	events.Tell(c, events.Create)
	if err := e.destroy(ctx, r.Destroy); err != nil {
		e.Notice(err.Error()) // what was asked for is there
	}
	return c, nil
}

// plan turns the request into a complete record, for which nothing is made yet but
// what has to be pulled.
func (e *Engine) plan(ctx context.Context, r Request) (state.Config, *store.Image, error) {
	if err := e.planNetworks(&r); err != nil {
		return state.Config{}, nil, err
	}
	cfg, img, err := e.resolve(ctx, r)
	if err == nil {
		err = e.planMounts(ctx, &cfg, r.Pull)
	}
	return cfg, img, err
}

// sweep removes left-overs of killed commands. They cost space, not correctness.
func (e *Engine) sweep(ctx context.Context) {
	for _, err := range []error{e.State.Sweep(e.forget), e.sweepPods(ctx)} {
		if err != nil {
			e.Notice("clean up after a killed command: " + err.Error())
		}
	}
}

func (e *Engine) destroy(ctx context.Context, id string) error {
	if id == "" {
		return nil
	}
	old, err := e.State.Lookup(id)
	if errors.Is(err, state.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return e.Remove(ctx, old, RemoveOptions{Force: true, Timeout: DefaultStopTimeout})
}

// commitWithVolumes makes c's volumes and then shows c to others; in between
// nobody can remove them.
func (e *Engine) commitWithVolumes(c *state.Container, r Request) error {
	release, err := e.makeVolumes(c)
	if err != nil {
		return err
	}
	defer release()
	letGo, err := e.holdPod(c)
	if err != nil {
		return err
	}
	defer letGo()
	leave, err := e.holdNetworks(c)
	if err != nil {
		return err
	}
	defer leave()
	if err := commit(c, r); err != nil {
		return err
	}
	for _, use := range c.Spec.Networks {
		if err := e.Networks().Reserve(use, c.ID); err != nil {
			e.Notice(err.Error()) // it is found out when it starts
		}
	}
	if err := volume.KeepOwn(e.State, c); err != nil {
		e.Notice(err.Error()) // Remove tries again
	}
	return nil
}

// commit shows c to others, under its id in the container id file and its name.
func commit(c *state.Container, r Request) (err error) {
	if r.CIDFile != "" {
		if err := statefile.CreateExclusive(r.CIDFile, []byte(c.ID)); err != nil {
			return problem.Hint(fmt.Errorf("write container id file: %w", err), "run: rm %s", r.CIDFile)
		}
		defer func() {
			if err != nil {
				err = errors.Join(err, os.Remove(r.CIDFile))
			}
		}()
	}
	for {
		err = c.Commit()
		if !errors.Is(err, state.ErrNameTaken) || r.Spec.Name != "" {
			return err
		}
		c.Name = randomName() // a made-up name happened to be taken
	}
}

// resolve turns the request into a record: the image pulled if need be, names
// and ids made up.
func (e *Engine) resolve(ctx context.Context, r Request) (state.Config, *store.Image, error) {
	if r.ID == "" {
		r.ID = NewID()
	}
	cfg := state.Config{ID: r.ID, Name: r.Spec.Name, Created: time.Now(), Spec: r.Spec}
	if cfg.Name == "" {
		cfg.Name = randomName()
	}
	if r.Spec.RootFS != "" {
		cmd, err := ocispec.Command(r.Spec, spec.ImageConfig{})
		cfg.Command, cfg.ImageName = cmd, r.Spec.RootFS
		return cfg, nil, errors.Join(err, checkHealth(r.Spec.Health, nil))
	}
	img, err := image.Ensure(ctx, e.Layers, r.Spec.Image, r.Pull)
	if err != nil {
		return cfg, nil, err
	}
	if cfg.Image, err = imageConfig(img); err != nil {
		return cfg, nil, err
	}
	if err := checkHealth(r.Spec.Health, cfg.Image.Health); err != nil {
		return cfg, nil, err
	}
	cfg.ImageID, cfg.ImageName, cfg.ImageDigest, cfg.Driver = img.ID, nameOf(img, r.Spec.Image), img.Digest, e.Layers.Driver()
	cfg.Command, err = ocispec.Command(r.Spec, cfg.Image)
	if err != nil {
		err = problem.Hint(err, "run: nook run %s COMMAND", r.Spec.Image)
	}
	return cfg, img, err
}

func nameOf(img *store.Image, asked string) string {
	for _, n := range img.Names {
		if n == asked {
			return n
		}
	}
	if len(img.Names) > 0 {
		return img.Names[0]
	}
	return asked
}

func imageConfig(img *store.Image) (spec.ImageConfig, error) {
	cfg, err := img.Config()
	if err != nil {
		return spec.ImageConfig{}, err
	}
	raw, err := img.RawConfig()
	if err != nil {
		return spec.ImageConfig{}, err
	}
	var more struct { // Config knows no StartInterval
		Config struct{ Healthcheck *spec.ImageHealth }
	}
	if err := json.Unmarshal(raw, &more); err != nil {
		return spec.ImageConfig{}, fmt.Errorf("image %s: health check: %w", img.ID, err)
	}
	c := cfg.Config
	return spec.ImageConfig{
		Env: c.Env, Entrypoint: c.Entrypoint, Cmd: c.Cmd, WorkingDir: c.WorkingDir, User: c.User,
		StopSignal: c.StopSignal, Labels: c.Labels, Volumes: slices.Sorted(maps.Keys(c.Volumes)), Ports: slices.Sorted(maps.Keys(c.ExposedPorts)), Health: more.Config.Healthcheck,
	}, nil
}

// createLayer decides where the writable layer of c is and makes it, unless the start
// does that, and keeps the image until release is called, when c is on record.
func (e *Engine) createLayer(c *state.Container, img *store.Image, r Request) (release func(), err error) {
	if c.Spec.UserNS.Mode != spec.UserNSHost || !e.Layers.CanOwn(c.Ephemeral()) {
		return func() {}, e.storeLayer(c, img)
	}
	held, err := e.Layers.HoldImage(img.ID)
	if err != nil {
		return nil, err
	}
	c.Below = img.LayerDir()
	if !r.Run {
		if err := e.Layers.MakeOwn(layerDir(c), img.ID); err != nil {
			return nil, errors.Join(fmt.Errorf("create container %s: %w", c.Short(), err), held.Close())
		}
	}
	return func() { held.Close() }, nil
}

// storeLayer has the store keep it.
func (e *Engine) storeLayer(c *state.Container, img *store.Image) error {
	ids, err := idMaps(c.Spec.UserNS)
	if err != nil {
		return err
	}
	c.Layer, err = e.Layers.CreateContainer(c.ID, img.ID, store.ContainerOptions{
		Volatile: c.Ephemeral(), UIDMap: storeMap(ids.UIDs), GIDMap: storeMap(ids.GIDs), Notice: e.Notice,
	})
	return err
}

// forget deletes a container's layer, if it has one, and the volumes that go with
// it. In "nook unshare" it may be mounted; its files must not be reached that way
// when its directory goes.
func (e *Engine) forget(id string) error {
	if _, err := sys.Unmount(filepath.Join(e.State.Run, "containers", id, "merged")); err != nil {
		return err
	}
	return errors.Join(e.Layers.DeleteContainer(id), volume.DropOwn(e.State, id))
}

func (e *Engine) replace(ctx context.Context, name string) error {
	old, err := e.State.Lookup(name)
	if errors.Is(err, state.ErrNotFound) || err == nil && old.Name != name {
		return nil
	}
	if err != nil {
		return err
	}
	return e.Remove(ctx, old, RemoveOptions{Force: true})
}

// bundle is the directory of the container's generated files for this boot.
func bundle(c *state.Container) (string, error) {
	dir := c.RunDir()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("create run directory: %w", err)
	}
	return filepath.Clean(dir), nil
}
