package syntax

import (
	"reflect"
	"testing"

	"github.com/nook-containers/nook/libpod/spec"
)

func TestUserNSPath(t *testing.T) {
	u, err := UserNS("ns:/proc/7//ns/user")
	if want := (spec.UserNS{Mode: spec.UserNSPath, Path: "/proc/7/ns/user"}); err != nil || !reflect.DeepEqual(u, want) {
		t.Errorf("got %+v, %v", u, err)
	}
	for _, text := range []string{"ns", "ns:", "ns:here"} {
		if _, err := UserNS(text); err == nil {
			t.Errorf("%s: no error", text)
		}
	}
}

// Expected values are those of podman-run(1), "Passing only one of --uidmap or
// --gidmap".
func TestIDMaps(t *testing.T) {
	all, own := spec.IDMapping{Size: 1000}, spec.IDMapping{Inside: 2000, Outside: 2000, Size: 1}
	for name, tc := range map[string]struct{ uidmap, gidmap, uids, gids []string }{
		"copied":               {uidmap: []string{"0:0:1000"}, uids: []string{"all"}, gids: []string{"all"}},
		"copied the other way": {gidmap: []string{"0:0:1000", "g2000:2000:1"}, uids: []string{"all"}, gids: []string{"all", "own"}},
		"only uids":            {uidmap: []string{"u0:0:1000"}, uids: []string{"all"}},
		"only gids":            {gidmap: []string{"g2000:2000:1"}, gids: []string{"own"}},
		"both":                 {uidmap: []string{"0:0:1000"}, gidmap: []string{"2000:2000:1"}, uids: []string{"all"}, gids: []string{"own"}},
		"both words":           {uidmap: []string{"ug0:0:1000"}, uids: []string{"all"}, gids: []string{"all"}},
	} {
		t.Run(name, func(t *testing.T) {
			want := func(words []string) (out []spec.IDMapping) {
				for _, w := range words {
					out = append(out, map[string]spec.IDMapping{"all": all, "own": own}[w])
				}
				return out
			}
			uids, gids, err := IDMaps(tc.uidmap, tc.gidmap)
			if err != nil || !reflect.DeepEqual(uids, want(tc.uids)) || !reflect.DeepEqual(gids, want(tc.gids)) {
				t.Errorf("got %v and %v, %v", uids, gids, err)
			}
		})
	}
	_, gids, err := IDMaps(nil, []string{"+g102000:@2000"})
	if want := []spec.IDMapping{{Inside: 102000, Outside: 2000, Size: 1, Host: true, Extend: true}}; err != nil || !reflect.DeepEqual(gids, want) {
		t.Errorf("got %v, %v", gids, err)
	}
	if _, _, err := IDMaps(nil, []string{"x:0:1"}); err == nil {
		t.Error("a word is taken for an id")
	}
}
