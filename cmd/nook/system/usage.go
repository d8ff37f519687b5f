package system

import (
	"context"
	"fmt"
	"io/fs"
	"os"

	"github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/libpod/state"
	libvolume "github.com/nook-containers/nook/libpod/volume"
	"github.com/nook-containers/nook/pkg/store"
)

// usage is what nook keeps on disk. Sizes are bytes of content.
type usage struct {
	images     []imageUsage
	containers []containerUsage
	volumes    []volumeUsage

	// Layers that several images have count once.
	imageBytes, imageFree int64
}

type imageUsage struct {
	*store.Image
	shared, unique int64
	containers     int
}

type containerUsage struct {
	container.Listed
	written int64
}

type volumeUsage struct {
	*libvolume.Volume
	bytes int64
	links int
}

// measure looks at everything. What can't be read is told by notice and left out.
func measure(ctx context.Context, e *container.Engine) (*usage, error) {
	u := &usage{}
	list, errs := container.List(e.State)
	users := map[string]int{}
	for _, l := range list {
		var written int64
		if !l.Spec.Infra { // which has no files
			var err error
			if written, _, err = e.Size(ctx, l.Container); err != nil {
				errs = append(errs, err)
			}
		}
		u.containers = append(u.containers, containerUsage{l, written})
		users[l.ImageID]++
	}
	others, err := container.External(e)
	if err != nil {
		return nil, err
	}
	for _, l := range others {
		users[l.ImageID]++
	}
	images, err := e.Layers.Images()
	if err != nil {
		return nil, err
	}
	u.addImages(images, users)
	if err := u.addVolumes(e); err != nil {
		return nil, err
	}
	for _, err := range errs {
		e.Notice(err.Error())
	}
	return u, nil
}

// addImages counts each layer once. Free would be what no used image has.
func (u *usage) addImages(images []store.Image, users map[string]int) {
	owners, needed, size := map[string]int{}, map[string]bool{}, map[string]int64{}
	for i := range images {
		img := &images[i]
		for n, id := range img.Layers {
			owners[id]++
			size[id] = img.LayerSizes[n]
			needed[id] = needed[id] || users[img.ID] > 0
		}
	}
	for id, n := range size {
		u.imageBytes += n
		if !needed[id] {
			u.imageFree += n
		}
	}
	for i := range images {
		img := &images[i]
		meta := img.Size
		row := imageUsage{Image: img, containers: users[img.ID]}
		for n, id := range img.Layers {
			meta -= img.LayerSizes[n]
			if owners[id] > 1 {
				row.shared += img.LayerSizes[n]
			}
		}
		row.unique = img.Size - row.shared
		u.imageBytes += meta
		if row.containers == 0 {
			u.imageFree += meta
		}
		u.images = append(u.images, row)
	}
}

func (u *usage) addVolumes(e *container.Engine) error {
	vols, errs := e.Volumes().List()
	for _, err := range errs {
		e.Notice(err.Error())
	}
	users, err := libvolume.Users(e.State)
	if err != nil {
		return err
	}
	for _, v := range vols {
		row := volumeUsage{Volume: v, links: len(users[v.Name])}
		if v.Backing().Kind == libvolume.Directory {
			if row.bytes, err = dirBytes(v.Mountpoint()); err != nil {
				return fmt.Errorf("volume %s: %w", v.Name, err)
			}
		}
		u.volumes = append(u.volumes, row)
	}
	return nil
}

// dirBytes adds up the sizes of the files below dir, without leaving it. A file
// with several names counts for each.
func dirBytes(dir string) (int64, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return 0, err
	}
	defer root.Close()
	var sum int64
	err = fs.WalkDir(root.FS(), ".", func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil //nolint:nilerr // it went away, as containers write to it now
		}
		if fi, err := d.Info(); err == nil {
			sum += fi.Size()
		}
		return nil
	})
	return sum, err
}

// total is all bytes.
func (u *usage) total() int64 {
	sum := u.imageBytes
	for _, c := range u.containers {
		sum += c.written
	}
	for _, v := range u.volumes {
		sum += v.bytes
	}
	return sum
}

// kinds are the lines of "system df".
func (u *usage) kinds() []kindRow {
	images := kindRow{kind: "Images", total: len(u.images), bytes: u.imageBytes, free: u.imageFree}
	for _, i := range u.images {
		images.active += min(i.containers, 1)
	}
	containers := kindRow{kind: "Containers", total: len(u.containers)}
	for _, c := range u.containers {
		containers.bytes += c.written
		switch c.Word {
		case state.Created, state.Exited:
			containers.free += c.written
		default:
			containers.active++
		}
	}
	volumes := kindRow{kind: "Local Volumes", total: len(u.volumes)}
	for _, v := range u.volumes {
		volumes.bytes += v.bytes
		if v.links == 0 {
			volumes.free += v.bytes
		} else {
			volumes.active++
		}
	}
	return []kindRow{images, containers, volumes}
}
