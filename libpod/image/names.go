// Package image gets images: it decides what a name means, whether the store's
// copy will do, and brings the image from a registry into the store.
//
// The registry's side is pkg/registry and the store's pkg/store; between them
// stands go-containerregistry's v1.Image. What happens is told to an io.Writer,
// as lines or, on a terminal, as bars that move (Progress).
package image

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nook-containers/nook/pkg/config/regconf"
	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/registry"
)

// localHost is the registry part of names that never were at a registry: those
// of builds and of "nook tag" without one.
const localHost = "localhost"

// Candidates returns the full names that short may stand for among the images of
// the store, best first: under localhost, by its alias, at each search registry
// of registries.conf, and at Docker Hub. Tag and digest, or neither, stay as they
// are. A name with a registry gives itself. Pure; no name, no candidates.
//
// The order is podman's, so that both find the same image in one store.
func Candidates(short string, cfg regconf.Registries) []string {
	ref, err := registry.ParseReference(short)
	if err != nil {
		return nil
	}
	if ref.Host != "" {
		return []string{ref.String()}
	}
	places := []string{localHost}
	var names []string
	for _, p := range append(append(places, cfg.Search...), registry.DockerHub) {
		if full, err := ref.At(p); err == nil {
			names = append(names, full.String())
		}
	}
	if full, ok := alias(ref, cfg); ok {
		names = slices.Insert(names, min(1, len(names)), full.String())
	}
	return compact(names)
}

// IsShort reports whether what name stands for is up to registries.conf.
func IsShort(name string) bool {
	ref, err := registry.ParseReference(name)
	return err == nil && ref.Host == ""
}

// compact removes the later of equal names.
func compact(names []string) []string {
	var out []string
	for _, n := range names {
		if !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

// alias returns the full name that registries.conf gives the short name ref.
func alias(ref registry.Reference, cfg regconf.Registries) (registry.Reference, bool) {
	full, ok := cfg.Aliases[ref.Path]
	if !ok {
		return ref, false
	}
	r, err := registry.ParseReference(full)
	if err != nil || r.Host == "" {
		return ref, false
	}
	r.Tag, r.Digest = ref.Tag, ref.Digest
	return r, true
}

// resolution is what a name to pull stands for.
type resolution struct {
	refs []registry.Reference // full, with tag or digest; tried in order
	note string               // how a short name became these, "" for a full name
}

// resolve returns what to try when pulling name (containers-registries.conf(5),
// "Short-Name Aliasing"). Without search registries it is Docker Hub: a name that
// works everywhere else must not end in a question about configuration.
func resolve(name string, cfg regconf.Registries) (resolution, error) {
	name, err := registry.TrimTransport(name)
	if err != nil {
		return resolution{}, err
	}
	ref, err := registry.ParseReference(name)
	if err != nil {
		return resolution{}, problem.Hint(err, "a name is [REGISTRY/]PATH[:TAG][@DIGEST], as in docker.io/library/busybox:latest")
	}
	if ref.Host != "" {
		return resolution{refs: []registry.Reference{ref.WithDefaultTag()}}, nil
	}
	if full, ok := alias(ref, cfg); ok {
		return resolution{
			refs: []registry.Reference{full.WithDefaultTag()},
			note: fmt.Sprintf("Resolved %q as an alias (%s)", name, cfg.AliasFrom[ref.Path]),
		}, nil
	}
	search, note := cfg.Search, fmt.Sprintf("Resolved %q with unqualified-search-registries (%s)", name, cfg.SearchFrom)
	if len(search) == 0 {
		search, note = []string{registry.DockerHub}, fmt.Sprintf("Resolved %q at %s, the default registry", name, registry.DockerHub)
	}
	return searched(ref, search, note, cfg.ShortNameMode)
}

func searched(ref registry.Reference, search []string, note, mode string) (resolution, error) {
	r := resolution{note: note}
	var names []string
	for _, p := range search {
		full, err := ref.At(p)
		if err != nil {
			return r, fmt.Errorf("search registry %q: %w", p, err)
		}
		if full = full.WithDefaultTag(); !slices.Contains(r.refs, full) {
			r.refs = append(r.refs, full)
			names = append(names, full.String())
		}
	}
	if mode == regconf.ShortNameEnforcing && len(r.refs) > 1 {
		return r, problem.Hint(fmt.Errorf("%q may be any of %s, and short-name-mode is enforcing", ref, strings.Join(names, ", ")),
			"use the full name, as in %s", names[0])
	}
	return r, nil
}

// storedName is the name that the store keeps the image under: with its digest if
// it was asked for by one, which makes a tag beside it meaningless.
func storedName(ref registry.Reference) string {
	if ref.Digest != "" {
		ref.Tag = ""
	}
	return ref.String()
}

// errIsID is an id where a name is needed.
var errIsID = errors.New("an image id is no name at a registry")
