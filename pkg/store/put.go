package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/opencontainers/go-digest"
	"go.podman.io/storage"
	drivers "go.podman.io/storage/drivers"

	"github.com/nook-containers/nook/pkg/sys"
)

// Progress is told how Put comes along. Its methods are called by several
// goroutines.
type Progress interface {
	// Layer announces a layer by the digest of its blob; size is the blob's in
	// bytes, -1 if not known.
	Layer(digest string, size int64) LayerProgress
}

// LayerProgress follows one layer.
type LayerProgress interface {
	Add(n int64)        // bytes of the blob read
	Done(status string) // StatusExists, StatusUnpacked
}

// How a layer came out.
const (
	StatusExists   = "already exists"
	StatusUnpacked = "done"
)

type noProgress struct{}

func (noProgress) Layer(string, int64) LayerProgress { return noProgress{} }
func (noProgress) Add(int64)                         {}
func (noProgress) Done(string)                       {}

// stageJobs is how many layers are read and unpacked at once. Reading may mean
// downloading, so there are more than processors on a small machine.
const stageJobs = 4

// Put stores img under names, which are full names with a tag, and returns its
// id. Names move here from other images. An image that is there already only
// gains the names. If Put fails, or is killed, nothing of it is visible.
func (s *Store) Put(ctx context.Context, img v1.Image, names []string, p Progress) (id string, err error) {
	if p == nil {
		p = noProgress{}
	}
	plan, err := planImage(img)
	if err != nil {
		return "", err
	}
	st, err := s.synced()
	if err != nil {
		return "", err
	}
	w := &putter{s: s, st: st, plan: plan, progress: p}
	dropHalves(st, plan.id)
	if err := w.layers(ctx); err != nil {
		return "", err
	}
	if err := w.record(names); err != nil {
		return "", fmt.Errorf("store image %s: %w", short(plan.id), err)
	}
	w.missing.tell(s)
	return plan.id, nil
}

type putter struct {
	s        *Store
	st       storage.Store
	plan     *imagePlan
	progress Progress
	missing  missingIDs
}

// layers makes sure that the store has every layer.
func (w *putter) layers(ctx context.Context) error {
	missing := w.plan.layers
	for len(missing) > 0 && w.has(missing[0].id) {
		w.progress.Layer(missing[0].blob.String(), missing[0].size).Done(StatusExists)
		missing = missing[1:]
	}
	if w.st.GraphDriverName() == "vfs" {
		return w.plainLayers(ctx, missing)
	}
	staged, err := w.stageAll(ctx, missing)
	defer w.dropStaged(staged)
	if err != nil {
		return err
	}
	for i, l := range missing {
		if err := w.commit(l, staged[i]); err != nil {
			return fmt.Errorf("store layer %s: %w", short(l.diffID.Encoded()), err)
		}
		staged[i] = nil
	}
	return nil
}

func (w *putter) has(id string) bool {
	l, err := w.st.Layer(id)
	return err == nil && l.ID == id
}

// stageAll unpacks all layers at once. On an error it returns those that were
// ready, to be dropped.
func (w *putter) stageAll(ctx context.Context, layers []layerPlan) ([]*drivers.DriverWithDifferOutput, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	staged := make([]*drivers.DriverWithDifferOutput, len(layers))
	slots := make(chan struct{}, stageJobs)
	var wg sync.WaitGroup
	for i := range layers {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if ctx.Err() != nil {
				return
			}
			out, err := w.stage(ctx, layers[i])
			if err != nil {
				cancel(fmt.Errorf("layer %s: %w", short(layers[i].diffID.Encoded()), err))
				return
			}
			staged[i] = out
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return staged, context.Cause(ctx)
	}
	return staged, nil
}

// stage unpacks one layer where nobody sees it yet.
func (w *putter) stage(ctx context.Context, l layerPlan) (*drivers.DriverWithDifferOutput, error) {
	progress := w.progress.Layer(l.blob.String(), l.size)
	d := &differ{ctx: ctx, layer: l, progress: progress, strict: w.s.cfg.strict, squashed: w.missing.add, explain: w.s.idHint}
	out, err := w.st.PrepareStagedLayer(&drivers.ApplyDiffWithDifferOpts{}, d)
	if err != nil {
		if out != nil && out.Target != "" {
			err = errors.Join(err, removeAll(filepath.Dir(out.Target)))
		}
		return nil, err
	}
	progress.Done(StatusUnpacked)
	return out, nil
}

// commit makes a staged layer a layer of the store, unless somebody else did so
// in the meantime. The lock keeps two of us from doing it at once: the store
// would let the later one replace the files of the earlier one.
func (w *putter) commit(l layerPlan, out *drivers.DriverWithDifferOutput) error {
	lock, err := w.st.GetDigestLock(digest.NewDigestFromEncoded(digest.SHA256, l.id))
	if err != nil {
		return err
	}
	lock.Lock()
	defer lock.Unlock()
	if w.has(l.id) {
		return w.drop(out)
	}
	// The store moves the files out of the staging directory and leaves that.
	target := filepath.Dir(out.Target)
	_, err = w.st.ApplyStagedLayer(storage.ApplyStagedLayerOptions{
		ID: l.id, ParentLayer: l.parent,
		DiffOutput: out, DiffOptions: &drivers.ApplyDiffWithDifferOpts{}, LayerOptions: &storage.LayerOptions{},
	})
	return errors.Join(err, removeAll(target))
}

func (w *putter) drop(out *drivers.DriverWithDifferOutput) error {
	// The files go first and without the store's lock, which CleanupStagedLayer
	// takes.
	return errors.Join(removeAll(out.Target), w.st.CleanupStagedLayer(out))
}

func (w *putter) dropStaged(staged []*drivers.DriverWithDifferOutput) {
	for _, out := range staged {
		if out != nil {
			_ = w.drop(out) // collected by the next Open
		}
	}
}

// record makes the image visible. Everything it names is durable by now.
func (w *putter) record(names []string) error {
	p := w.plan
	top := ""
	if n := len(p.layers); n > 0 {
		top = p.layers[n-1].id
	}
	if w.st.GraphDriverName() == "vfs" {
		if err := sys.SyncFS(w.s.o.Root); err != nil {
			return err
		}
	}
	options := &storage.ImageOptions{
		CreationDate: p.file.Created.Time, Digest: p.digest, Metadata: "{}", BigData: p.bigData(),
	}
	_, err := w.st.CreateImage(p.id, names, top, "", options)
	if errors.Is(err, storage.ErrDuplicateName) {
		// The names are taken from other images in one step, after the image is
		// there, so that a name always leads to an image.
		_, err = w.st.CreateImage(p.id, nil, top, "", options)
	}
	if errors.Is(err, storage.ErrDuplicateID) {
		err = w.sameImage(top)
	}
	if err != nil {
		return err
	}
	return w.addNames(names)
}

// sameImage brings the record of an image that is there up to date: the same
// configuration can come with another manifest, packed differently.
func (w *putter) sameImage(top string) error {
	img, err := w.st.Image(w.plan.id)
	if err != nil {
		return err
	}
	if img.TopLayer != top {
		return fmt.Errorf("%w: image %s is there with another top layer, %q", ErrDamaged, short(img.ID), img.TopLayer)
	}
	if img.ReadOnly || whole(img) && slices.Contains(img.Digests, w.plan.digest) {
		return nil
	}
	for _, d := range w.plan.bigData() {
		digestOf := func([]byte) (digest.Digest, error) { return d.Digest, nil }
		if err := w.st.SetImageBigData(img.ID, d.Key, d.Data, digestOf); err != nil {
			return err
		}
	}
	return nil
}

// bigData is what an image's record carries. The manifest comes last; see whole.
func (p *imagePlan) bigData() []storage.ImageBigDataOption {
	return []storage.ImageBigDataOption{
		{Key: "sha256:" + p.id, Data: p.config, Digest: digest.NewDigestFromEncoded(digest.SHA256, p.id)},
		{Key: manifestKey(p.digest), Data: p.manifest, Digest: p.digest},
		{Key: storage.ImageDigestBigDataKey, Data: p.manifest, Digest: p.digest},
	}
}

// whole reports whether the image has all that Put gives it. containers/storage
// saves the record, names included, before the first of its big data and again
// after each, in one critical section: what others see without a manifest is of a
// process that was killed in there.
func whole(i *storage.Image) bool {
	return slices.Contains(i.BigDataNames, storage.ImageDigestBigDataKey)
}

// dropHalves deletes images that are not whole, but for the one that is about to
// be completed. Those without a name are left to the first Open of the next boot:
// earlier versions of containers/image make an image so, and then complete it.
func dropHalves(st storage.Store, keep string) {
	all, err := st.Images()
	if err != nil {
		return
	}
	for i := range all {
		if img := &all[i]; !whole(img) && !img.ReadOnly && img.ID != keep && len(img.Names) > 0 {
			_, _ = st.DeleteImage(img.ID, true) // nobody sees it; the next Put tries again
		}
	}
}

func (w *putter) addNames(names []string) error {
	img, err := w.st.Image(w.plan.id)
	if err != nil {
		return err
	}
	for _, n := range names {
		if !slices.Contains(img.Names, n) {
			return w.st.AddNames(img.ID, names)
		}
	}
	return nil
}

func manifestKey(d digest.Digest) string { return storage.ImageDigestBigDataKey + "-" + d.String() }

// short is how ids appear in messages and tables.
func short(id string) string { return id[:min(12, len(id))] }
