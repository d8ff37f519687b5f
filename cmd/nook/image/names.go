package image

import (
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// Registries that a name without one gets.
const (
	hub   = "docker.io" // names in archives and of images to pull
	local = "localhost" // names that the user gives
)

// fullName completes a name: its registry, "library" at Docker Hub, and the tag
// "latest". A digest is not a name that can be given.
func fullName(s, registry string) (string, error) {
	if strings.Contains(s, "@") {
		return "", fmt.Errorf("%q: a digest cannot be given as a name; use a tag", s)
	}
	tag, err := name.NewTag(s, name.WithDefaultRegistry(registry), name.WithDefaultTag("latest"))
	if err != nil {
		return "", fmt.Errorf("%q is not an image name: %w", s, err)
	}
	full := tag.Name()
	if rest, ok := strings.CutPrefix(full, "index.docker.io/"); ok {
		full = hub + "/" + rest
	}
	return full, nil
}

func fullNames(names []string, registry string) ([]string, error) {
	out := make([]string, 0, len(names))
	for _, n := range names {
		full, err := fullName(n, registry)
		if err != nil {
			return nil, err
		}
		out = append(out, full)
	}
	return out, nil
}
