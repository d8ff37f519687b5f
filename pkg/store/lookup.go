package store

import (
	"fmt"
	"slices"
	"strings"

	"go.podman.io/storage"

	"github.com/nook-containers/nook/pkg/problem"
)

// Lookup finds one image by, in this order: its full id, one of its full names,
// what a short name stands for, the beginning of its id. "sha256:" before an id
// is allowed, as is "@sha256:…" after a name. The error is ErrNotFound or
// ErrAmbiguous.
func (s *Store) Lookup(nameOrID string) (*Image, error) {
	st := s.storage()
	all, err := st.MultiList(storage.MultiListOptions{Images: true, Layers: true})
	if err != nil {
		return nil, fmt.Errorf("find image %s: %w", nameOrID, err)
	}
	candidates := s.o.Candidates
	if candidates == nil {
		candidates = defaultCandidates
	}
	found := match(all.Images, nameOrID, candidates)
	switch {
	case len(found) == 0:
		return nil, problem.Hint(fmt.Errorf("%s: %w", nameOrID, ErrNotFound), "see what there is with: nook images; or get it with: nook pull %s", nameOrID)
	case len(found) > 1:
		return nil, problem.Hint(fmt.Errorf("%s: %w: %s", nameOrID, ErrAmbiguous, strings.Join(describe(found), ", ")),
			"use more of the id, or a full name with its registry")
	}
	layers := make(map[string]*storage.Layer, len(all.Layers))
	for i := range all.Layers {
		layers[all.Layers[i].ID] = &all.Layers[i]
	}
	img := newImage(st, *found[0], layers)
	return &img, nil
}

// match returns the images that a name or id means, none twice.
func match(images []storage.Image, ref string, candidates func(string) []string) []*storage.Image {
	if ref == "" {
		return nil
	}
	id := strings.TrimPrefix(ref, "sha256:")
	if found := pick(images, func(i *storage.Image) bool { return i.ID == id || slices.Contains(i.Names, ref) }); len(found) > 0 {
		return found[:1] // a name belongs to one image; the second has it in a read-only store
	}
	if found := matchName(images, ref, candidates); len(found) > 0 {
		return found
	}
	if isHex(id) && len(id) < 64 {
		return pick(images, func(i *storage.Image) bool { return strings.HasPrefix(i.ID, id) })
	}
	return nil
}

// matchName tries what a short name may stand for, best first, and then any
// registry's image whose path ends in it.
func matchName(images []storage.Image, ref string, candidates func(string) []string) []*storage.Image {
	if strings.HasPrefix(ref, "sha256:") {
		return nil
	}
	repo, tag := SplitName(ref)
	if repo == "" {
		return nil
	}
	full := func(repo string) func(*storage.Image) bool {
		return func(i *storage.Image) bool { return hasName(i, repo, tag) }
	}
	if found := pick(images, full(repo)); len(found) > 0 {
		return found // without reading any configuration
	}
	for _, c := range candidates(repo) {
		if found := pick(images, full(c)); len(found) > 0 {
			return found
		}
	}
	return pick(images, func(i *storage.Image) bool {
		for _, n := range i.Names {
			if have, _ := SplitName(n); strings.HasSuffix(have, "/"+repo) && hasName(i, have, tag) {
				return true
			}
		}
		return false
	})
}

// hasName reports whether image i is repo with the tag ("" is latest) or digest.
func hasName(i *storage.Image, repo, tag string) bool {
	if tag == "" {
		tag = "latest"
	}
	if !strings.Contains(tag, ":") {
		return slices.Contains(i.Names, repo+":"+tag)
	}
	digests := false
	for _, d := range i.Digests {
		digests = digests || d.String() == tag
	}
	return digests && slices.ContainsFunc(i.Names, func(n string) bool {
		have, _ := SplitName(n)
		return have == repo
	})
}

func pick(images []storage.Image, want func(*storage.Image) bool) []*storage.Image {
	var out []*storage.Image
	seen := map[string]bool{}
	for i := range images {
		if img := &images[i]; !seen[img.ID] && whole(img) && want(img) {
			seen[img.ID] = true
			out = append(out, img)
		}
	}
	return out
}

func describe(images []*storage.Image) []string {
	out := make([]string, 0, len(images))
	for _, i := range images {
		name := "<none>"
		if len(i.Names) > 0 {
			name = i.Names[0]
		}
		out = append(out, fmt.Sprintf("%s (%s)", short(i.ID), name))
	}
	return out
}

// defaultCandidates are the repositories that a short one may stand for when no
// registries.conf is at hand.
func defaultCandidates(repo string) []string {
	first, _, slash := strings.Cut(repo, "/")
	if slash && (strings.ContainsAny(first, ".:") || first == "localhost") {
		if rest, ok := strings.CutPrefix(repo, "docker.io/"); ok && !strings.Contains(rest, "/") {
			return []string{"docker.io/library/" + rest}
		}
		return nil
	}
	if slash {
		return []string{"localhost/" + repo, "docker.io/" + repo}
	}
	return []string{"localhost/" + repo, "docker.io/library/" + repo}
}

func isHex(s string) bool {
	return s != "" && strings.Trim(s, "0123456789abcdef") == ""
}
