package image

import (
	"fmt"

	"github.com/nook-containers/nook/pkg/registry"
)

// local is the registry of names that the user gives without one. Names in
// archives without one are Docker Hub's.
const local = "localhost"

// fullName completes a name: its registry, "library" at Docker Hub, and the tag
// "latest". A digest is not a name that can be given.
func fullName(s, host string) (string, error) {
	ref, err := registry.ParseReference(s)
	if err != nil {
		return "", err
	}
	if ref.Digest != "" {
		return "", fmt.Errorf("%q: a digest cannot be given as a name; use a tag", s)
	}
	if ref.Host == "" {
		if ref, err = ref.At(host); err != nil {
			return "", err
		}
	}
	return ref.WithDefaultTag().String(), nil
}

func fullNames(names []string, host string) ([]string, error) {
	out := make([]string, 0, len(names))
	for _, n := range names {
		full, err := fullName(n, host)
		if err != nil {
			return nil, err
		}
		out = append(out, full)
	}
	return out, nil
}

// LocalNames completes the names of images that are made here.
func LocalNames(names []string) ([]string, error) { return fullNames(names, local) }
