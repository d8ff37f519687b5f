package container

import (
	"errors"
	"slices"
	"testing"

	"github.com/nook-containers/nook/libpod/state"
)

func TestStartOrder(t *testing.T) {
	needs := map[string][]string{"web": {"app", "cache"}, "app": {"db", "cache"}}
	get := func(id string) ([]string, error) {
		if id == "gone" {
			return nil, state.ErrNotFound
		}
		return needs[id], nil
	}
	got, err := startOrder([]string{"web", "db"}, get)
	if want := []string{"db", "cache", "app", "web"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("order %q, %v; want %q", got, err, want)
	}
	needs["db"] = []string{"gone"}
	if _, err := startOrder([]string{"web"}, get); !errors.Is(err, state.ErrNotFound) {
		t.Errorf("a missing container: %v", err)
	}
}
