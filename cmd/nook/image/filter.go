package image

import (
	"encoding/json"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/pkg/store"
)

// imageFilters are the --filter keys of image lists.
func imageFilters(s *store.Store) cmdutil.Filters[*listed] {
	type test = func(*listed) bool
	f := cmdutil.Filters[*listed]{
		"id": func(v string) (test, error) {
			v = strings.TrimPrefix(v, "sha256:")
			return func(l *listed) bool { return strings.HasPrefix(l.ID, v) }, nil
		},
		"digest": func(v string) (test, error) {
			return func(l *listed) bool {
				return slices.ContainsFunc(l.Digests, func(d string) bool {
					return strings.HasPrefix(d, v) || strings.HasPrefix(strings.TrimPrefix(d, "sha256:"), v)
				})
			}, nil
		},
		"reference": func(v string) (test, error) {
			if _, err := path.Match(v, ""); err != nil {
				return nil, err
			}
			return func(l *listed) bool { return referenced(s, l, v) }, nil
		},
		"until": func(v string) (test, error) {
			t, err := cmdutil.Moment(v, time.Now())
			return func(l *listed) bool { return l.Created.Before(t) }, err
		},
		"dangling":     cmdutil.Bool(func(l *listed) bool { return !l.named() && !l.children }),
		"intermediate": cmdutil.Bool(func(l *listed) bool { return !l.named() && l.children }),
		"containers":   cmdutil.Bool(func(l *listed) bool { return l.users > 0 }),
		"manifest":     cmdutil.Bool((*listed).isList),
		"readonly":     cmdutil.Bool(func(l *listed) bool { return l.ReadOnly }),
	}
	relative := func(match func(l, other *store.Image) bool) func(string) (test, error) {
		return func(v string) (test, error) {
			other, err := s.Lookup(v)
			if err != nil {
				return nil, err
			}
			return func(l *listed) bool { return match(l.Image, other) }, nil
		}
	}
	f["before"] = relative(func(l, other *store.Image) bool { return l.Created.Before(other.Created) })
	f["since"] = relative(func(l, other *store.Image) bool { return l.Created.After(other.Created) })
	f["after"] = f["since"]
	cmdutil.LabelFilters(f, func(l *listed) map[string]string { return l.labels })
	return f
}

// referenced reports whether a name of the image matches the pattern, which may
// leave out the registry and further components at the front, and the tag. A
// pattern that names one image exactly, as Lookup finds it, matches that too.
func referenced(s *store.Store, l *listed, pattern string) bool {
	if !strings.ContainsAny(pattern, "*?[") {
		if img, err := s.Lookup(pattern); err == nil && img.ID == l.ID {
			return true
		}
	}
	for _, name := range append(slices.Clone(l.Names), l.RepoDigests...) {
		repo, _ := store.SplitName(name)
		for _, candidate := range []string{name, repo} {
			for candidate != "" {
				if ok, err := path.Match(pattern, candidate); err == nil && ok {
					return true
				}
				_, candidate, _ = strings.Cut(candidate, "/")
			}
		}
	}
	return false
}

// isList reports whether the image is a list of manifests, which other tools keep
// as images too.
func (l *listed) isList() bool {
	raw, err := l.RawManifest()
	if err != nil {
		return false
	}
	var m struct {
		MediaType string `json:"mediaType"`
	}
	if json.Unmarshal(raw, &m) != nil {
		return false
	}
	return types.MediaType(m.MediaType).IsIndex()
}
