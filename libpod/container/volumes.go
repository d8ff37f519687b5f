package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"time"

	"github.com/nook-containers/nook/libpod/image"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/libpod/syntax"
	"github.com/nook-containers/nook/libpod/volume"
	"github.com/nook-containers/nook/pkg/cleanup"
	"github.com/nook-containers/nook/pkg/problem"
)

// Volumes are the volumes that the engine's containers use.
func (e *Engine) Volumes() volume.Store { return volume.Of(e.State) }

// RemoveVolume deletes a volume. One that containers use is ErrInUse, unless Force
// is set: then they are removed first.
func (e *Engine) RemoveVolume(ctx context.Context, name string, o RemoveOptions) error {
	err := volume.RemoveUnused(e.State, name)
	if !o.Force || !errors.Is(err, volume.ErrInUse) {
		return err
	}
	users, err := volume.Users(e.State)
	if err != nil {
		return err
	}
	for _, c := range users[name] {
		if err := e.Remove(ctx, c, o); err != nil {
			return err
		}
	}
	return volume.RemoveUnused(e.State, name)
}

// planMounts completes the mounts that were asked for: those of other containers,
// those that the image wants, names for anonymous volumes, ids of images. Nothing
// is made yet.
func (e *Engine) planMounts(ctx context.Context, cfg *state.Config, pull image.PullOptions) error {
	mounts := slices.Clone(cfg.Spec.Mounts)
	for _, text := range cfg.Spec.VolumesFrom {
		from, err := syntax.VolumesFrom(text)
		if err != nil {
			return err
		}
		c, err := e.State.Lookup(from.Container)
		if err != nil {
			return problem.Hint(fmt.Errorf("volumes from %w", err), "run: nook ps -a")
		}
		mounts = append(mounts, inherit(mounts, c.Spec.Mounts, from)...)
	}
	mounts, err := imageVolumes(mounts, cfg.Image.Volumes, cfg.Spec.ImageVolume)
	if err != nil {
		return err
	}
	for i := range mounts {
		m := &mounts[i]
		switch {
		case m.Type == spec.MountVolume && m.Volume == "":
			m.Volume, m.OwnName = NewID(), true
		case m.Type == spec.MountImage && m.ImageID == "":
			if pull.Policy != image.Never {
				pull.Policy = image.Missing
			}
			img, err := image.Ensure(ctx, e.Layers, m.Source, pull)
			if err != nil {
				return fmt.Errorf("mount %s: %w", m.Target, err)
			}
			m.ImageID = img.ID
		}
	}
	cfg.Spec.Mounts = mounts
	return nil
}

// inherit returns what a container with the mounts have gets of another's: its
// binds and volumes, where it has nothing itself.
func inherit(have, other []spec.Mount, from syntax.Inheritance) []spec.Mount {
	var out []spec.Mount
	for _, m := range other {
		if m.Type != spec.MountBind && m.Type != spec.MountVolume || mountsOn(have, m.Target) || mountsOn(out, m.Target) {
			continue
		}
		m.ReadOnly = m.ReadOnly || from.ReadOnly
		m.OwnName = false // it goes with the container that it was made for
		m.Chown = false   // that was asked for once
		m.Options = append(slices.Clone(m.Options), from.Options...)
		out = append(out, m)
	}
	return out
}

func mountsOn(mounts []spec.Mount, target string) bool {
	return slices.ContainsFunc(mounts, func(m spec.Mount) bool { return path.Clean(m.Target) == path.Clean(target) })
}

// imageVolumes adds the volumes that an image asks for (image-spec, config.md,
// "Volumes").
func imageVolumes(mounts []spec.Mount, paths []string, mode string) ([]spec.Mount, error) {
	if mode == spec.ImageVolumeIgnore {
		return mounts, nil
	}
	for _, p := range paths {
		p = path.Clean("/" + p)
		if p == "/" {
			return nil, problem.Hint(errors.New("the image wants a volume in place of its root directory"), "add: --image-volume ignore")
		}
		if mountsOn(mounts, p) {
			continue
		}
		m := spec.Mount{Type: spec.MountVolume, Target: p}
		if mode == spec.ImageVolumeTmpfs {
			m = spec.Mount{Type: spec.MountTmpfs, Target: p, Options: []string{"mode=755", "tmpcopyup"}}
		}
		mounts = append(mounts, m)
	}
	return mounts, nil
}

// makeVolumes makes the volumes of c that are not there. Until release is called,
// which the caller does when others can see c, none of them can be removed.
func (e *Engine) makeVolumes(c *state.Container) (release func(), err error) {
	var held cleanup.Stack
	defer held.RunOnError(&err)
	if err := volume.EndOwn(e.State, c); err != nil {
		return nil, err
	}
	swept := false
	for _, m := range c.Spec.Mounts {
		if m.Type != spec.MountVolume {
			continue
		}
		if !swept {
			swept = true
			if err := e.Volumes().Sweep(); err != nil {
				e.Notice("clean up after a killed command: " + err.Error())
			}
		}
		f, err := e.holdVolume(c, m)
		if err != nil {
			return nil, err
		}
		held.Push("release volume "+m.Volume, f.Close)
	}
	return func() { _ = held.Run() }, nil // closes descriptors that nothing was written to
}

// holdVolume holds m's volume, which is made if it is not there.
func (e *Engine) holdVolume(c *state.Container, m spec.Mount) (*os.File, error) {
	vols := e.Volumes()
	for {
		f, err := vols.Hold(m.Volume)
		if !errors.Is(err, volume.ErrNotFound) {
			return f, err
		}
		if m.NoCreate {
			return nil, problem.Hint(err, "run: nook volume create %s", m.Volume)
		}
		durability := volume.Durability(!m.OwnName || !c.Ephemeral())
		_, err = vols.Create(volume.Config{Name: m.Volume, Created: time.Now(), Anonymous: m.OwnName}, durability)
		if err != nil && !errors.Is(err, volume.ErrExists) {
			return nil, err
		}
	}
}
