package image

import (
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/nook-containers/nook/pkg/store"
)

// listed is an image with what relates it to others.
type listed struct {
	*store.Image

	labels   map[string]string
	history  []v1.History
	users    int // containers made of it
	parent   string
	children bool
}

func (l *listed) named() bool { return len(l.Names) > 0 }

// collect loads all images and finds out how they build on each other.
func collect(s *store.Store) ([]*listed, error) {
	images, err := s.Images()
	if err != nil {
		return nil, err
	}
	users, err := s.UsersByImage()
	if err != nil {
		return nil, err
	}
	all := make([]*listed, 0, len(images))
	for i := range images {
		l := &listed{Image: &images[i], users: len(users[images[i].ID])}
		// An image whose configuration is gone is listed still, so that it can be
		// removed.
		if c, err := l.Config(); err == nil {
			l.labels, l.history = c.Config.Labels, c.History
		}
		all = append(all, l)
	}
	relate(all)
	return all, nil
}

// relate finds for every image the one it was built on: of those that it
// continues, the one that went furthest.
func relate(all []*listed) {
	for _, l := range all {
		l.parent, l.children = "", false
	}
	for _, l := range all {
		var best *listed
		for _, p := range all {
			if l.continues(p) && (best == nil || len(p.history) > len(best.history)) {
				best = p
			}
		}
		if best != nil {
			l.parent, best.children = best.ID, true
		}
	}
}

// continues reports whether the image was built on p: its history begins with
// all of p's and goes on, and so do its layers. Layers alone would not tell: two
// images of the same files need not be related.
func (l *listed) continues(p *listed) bool {
	if len(p.history) == 0 || len(p.history) >= len(l.history) || len(p.Layers) > len(l.Layers) {
		return false
	}
	return slices.Equal(l.Layers[len(l.Layers)-len(p.Layers):], p.Layers) &&
		slices.EqualFunc(l.history[:len(p.history)], p.history, sameStep)
}

func sameStep(a, b v1.History) bool {
	return a.Created.Equal(b.Created.Time) && a.CreatedBy == b.CreatedBy && a.Author == b.Author &&
		a.Comment == b.Comment && a.EmptyLayer == b.EmptyLayer
}
