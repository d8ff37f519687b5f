package ocispec

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/nook-containers/nook/libpod/spec"
)

var update = flag.Bool("update", false, "rewrite the want.json of every case")

// Each testdata/*.txtar holds one case: in.json (an Input; ID, Host and Files
// have defaults below) and want.json, what differs from the spec of the plain
// case, or that spec itself. To add a case, add a file.
func TestBuild(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.txtar")
	if len(files) < 8 {
		t.Fatalf("found %d cases: a suite that runs nothing must not pass", len(files))
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			ar, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if len(ar.Files) != 2 || len(ar.Comment) == 0 {
				t.Fatalf("%s: want a sentence, in.json and want.json", file)
			}
			in := plain()
			dec := json.NewDecoder(bytes.NewReader(ar.Files[0].Data))
			dec.DisallowUnknownFields() // a misspelt field is a broken case
			if err := dec.Decode(&in); err != nil {
				t.Fatal(err)
			}
			built, err := Build(in)
			if err != nil {
				t.Fatal(err)
			}
			base, err := Build(plain())
			if err != nil {
				t.Fatal(err)
			}
			if filepath.Base(file) == "plain.txtar" {
				base = &specs.Spec{}
			}
			got, _ := json.MarshalIndent(difference(t, base, built), "", "  ")
			got = append(got, '\n')
			if *update {
				ar.Files[1].Data = got
				if err := os.WriteFile(file, txtar.Format(ar), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if want := ar.Files[1].Data; !bytes.Equal(got, want) {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

func plain() Input {
	return Input{
		ID:   "0123456789abcdef",
		Spec: spec.Container{Network: NetworkNone, Args: []string{"true"}},
		Host: Host{Hostname: "laptop", MaxGID: 65536},
		User: User{Groups: []uint32{0}, Home: "/root"},
	}
}

// difference keeps the members of b, down to whole lists, that a does not have.
func difference(t *testing.T, a, b *specs.Spec) any {
	t.Helper()
	return diffValue(tree(t, a), tree(t, b))
}

func tree(t *testing.T, s *specs.Spec) (v any) {
	t.Helper()
	data, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func diffValue(a, b any) any {
	am, aok := a.(map[string]any)
	bm, bok := b.(map[string]any)
	if !aok || !bok {
		return b
	}
	out := map[string]any{}
	for k, v := range bm {
		x, _ := json.Marshal(am[k])
		y, _ := json.Marshal(v)
		if !bytes.Equal(x, y) {
			out[k] = diffValue(am[k], v)
		}
	}
	for k := range am {
		if _, ok := bm[k]; !ok {
			out[k] = nil
		}
	}
	return out
}

func TestBuildRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*Input)
		want   string
		is     error
	}{
		"no command":              {func(in *Input) { in.Spec.Args = nil }, "", ErrNoCommand},
		"image env without value": {func(in *Input) { in.Image.Env = []string{"SECRET"} }, "", ErrImageEnv},
		"image env wildcard":      {func(in *Input) { in.Image.Env = []string{"*"} }, "", ErrImageEnv},
		"host's sysctl":           {func(in *Input) { in.Spec.Sysctls = map[string]string{"vm.swappiness": "1"} }, "", ErrSysctl},
		"net sysctl on host net": {func(in *Input) {
			in.Spec.Network, in.Spec.Sysctls = NetworkHost, map[string]string{"net.ipv4.ip_forward": "1"}
		}, "", ErrSysctl},
		"hostname by sysctl":  {func(in *Input) { in.Spec.Sysctls = map[string]string{"kernel/hostname": "x"} }, "--hostname", nil},
		"unknown capability":  {func(in *Input) { in.Spec.CapAdd = []string{"fly"} }, "capability FLY: unknown", nil},
		"capability both":     {func(in *Input) { in.Spec.CapAdd, in.Spec.CapDrop = []string{"chown"}, []string{"CAP_CHOWN"} }, "both added and dropped", nil},
		"all capability both": {func(in *Input) { in.Spec.CapAdd, in.Spec.CapDrop = []string{"all"}, []string{"ALL"} }, "both added and dropped", nil},
		"unknown ulimit":      {func(in *Input) { in.Spec.Ulimits = []spec.Ulimit{{Name: "fun"}} }, "ulimit fun: no such limit; one of as, core", nil},
	} {
		in := plain()
		tc.change(&in)
		_, err := Build(in)
		if err == nil || !strings.Contains(err.Error(), tc.want) || tc.is != nil && !errors.Is(err, tc.is) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestCommand(t *testing.T) {
	img := spec.ImageConfig{Entrypoint: []string{"/entry"}, Cmd: []string{"serve"}}
	none, other := []string{}, []string{"sh", "-c"}
	for name, tc := range map[string]struct {
		c    spec.Container
		want string
	}{
		"the image's":                   {spec.Container{}, "/entry serve"},
		"arguments replace CMD":         {spec.Container{Args: []string{"-v"}}, "/entry -v"},
		"entrypoint drops CMD":          {spec.Container{Entrypoint: &other}, "sh -c"},
		"entrypoint and arguments":      {spec.Container{Entrypoint: &other, Args: []string{"ls"}}, "sh -c ls"},
		"cleared entrypoint, arguments": {spec.Container{Entrypoint: &none, Args: []string{"ls"}}, "ls"},
	} {
		if got, err := Command(tc.c, img); err != nil || strings.Join(got, " ") != tc.want {
			t.Errorf("%s: got %q, %v; want %q", name, got, err, tc.want)
		}
	}
	if _, err := Command(spec.Container{Entrypoint: &none}, img); !errors.Is(err, ErrNoCommand) {
		t.Errorf("cleared entrypoint without arguments: %v", err)
	}
}
