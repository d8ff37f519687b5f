package pod

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/sys"
)

func newStore(t *testing.T) Store {
	t.Helper()
	return Of(state.Store{Dir: t.TempDir(), Run: t.TempDir()})
}

func nothing() (func() error, error) { return func() error { return nil }, nil }

func make1(t *testing.T, s Store, id, name string) *Pod {
	t.Helper()
	p, err := s.Create(Config{ID: id, Name: name, Created: time.Unix(1000, 0)}, nothing)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// member makes a container in pod id.
func member(t *testing.T, s Store, podID, id string) {
	t.Helper()
	c, err := s.Containers.Create(state.Config{ID: id, Name: id, Spec: spec.Container{Pod: podID}})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Commit(); err != nil {
		t.Fatal(err)
	}
	c.Release()
}

func entries(t *testing.T, s Store) []string {
	t.Helper()
	list, err := os.ReadDir(s.Dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

func TestLookup(t *testing.T) {
	s := newStore(t)
	make1(t, s, "abc1", "web")
	make1(t, s, "abd2", "abc") // a name that is also an id's beginning
	for text, want := range map[string]string{"web": "abc1", "abc": "abd2", "abc1": "abc1", "abd": "abd2"} {
		if p, err := s.Lookup(text); err != nil || p.ID != want {
			t.Errorf("%s: got %v, %v", text, p, err)
		}
	}
	for text, want := range map[string]error{"ab": ErrAmbiguous, "": ErrNotFound, "no": ErrNotFound, "ff": ErrNotFound, "../web": ErrNotFound, ".": ErrNotFound} {
		if _, err := s.Lookup(text); !errors.Is(err, want) {
			t.Errorf("%q: got %v, want %v", text, err, want)
		}
	}
	if _, err := s.Create(Config{ID: "x", Name: "web"}, nothing); !errors.Is(err, ErrExists) {
		t.Errorf("a second web: %v", err)
	}
	if got := s.Names(); len(got) != 2 || got["abc1"] != "web" {
		t.Errorf("names: %v", got)
	}
}

// A pod whose name is taken in the last moment takes back what was made for it.
func TestCreateRace(t *testing.T) {
	s := newStore(t)
	discarded := false
	_, err := s.Create(Config{ID: "b2", Name: "web"}, func() (func() error, error) {
		make1(t, s, "a1", "web")
		return func() error { discarded = true; return nil }, nil
	})
	if !errors.Is(err, ErrExists) || !discarded {
		t.Errorf("got %v, discarded %v", err, discarded)
	}
	if got := entries(t, s); !slices.Equal(got, []string{"web"}) {
		t.Errorf("left: %v", got)
	}
	if p, err := s.Lookup("web"); err != nil || p.ID != "a1" {
		t.Errorf("web is %v, %v", p, err)
	}
}

// What a killed remover leaves is no pod any more, and Sweep finishes the work.
func TestRemoveKilled(t *testing.T) {
	s := newStore(t)
	p := make1(t, s, "a1", "web")
	member(t, s, "a1", "c1")
	stay := errors.New("it must stay")
	if err := p.Remove(func() error { return stay }, nil); !errors.Is(err, stay) {
		t.Errorf("got %v", err)
	}
	killed := errors.New("killed")
	if err := p.Remove(func() error { return nil }, func() error { return killed }); !errors.Is(err, killed) {
		t.Errorf("got %v", err)
	}
	if _, err := s.Lookup("web"); !errors.Is(err, ErrNotFound) {
		t.Errorf("half removed: %v", err)
	}
	if !s.Hidden("a1") {
		t.Error("its containers are to be seen")
	}
	if _, err := p.Hold(); !errors.Is(err, ErrNotFound) {
		t.Errorf("a container can be made in it: %v", err)
	}
	var forgotten []string
	if err := s.Sweep(func(id string) error { forgotten = append(forgotten, id); return nil }); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(forgotten, []string{"a1"}) || len(entries(t, s)) != 0 {
		t.Errorf("forgot %v, left %v", forgotten, entries(t, s))
	}
}

// Sweep takes what a killed maker left, and leaves what a living one works on.
func TestSweepMakers(t *testing.T) {
	s := newStore(t)
	if err := os.MkdirAll(filepath.Join(s.Dir, ".new-dead"), 0o700); err != nil {
		t.Fatal(err)
	}
	var forgotten []string
	if _, err := s.Create(Config{ID: "live", Name: "web"}, func() (func() error, error) {
		if !s.Hidden("live") {
			t.Error("it shows before it is whole")
		}
		return func() error { return nil }, s.Sweep(func(id string) error { forgotten = append(forgotten, id); return nil })
	}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(forgotten, []string{"dead"}) || !slices.Equal(entries(t, s), []string{"web"}) {
		t.Errorf("forgot %v, left %v", forgotten, entries(t, s))
	}
}

// A pod of the same name made since is another one.
func TestReplaced(t *testing.T) {
	s := newStore(t)
	old := make1(t, s, "a1", "web")
	if err := old.Remove(func() error { return nil }, func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	make1(t, s, "b2", "web")
	for what, do := range map[string]func() error{
		"hold":   func() error { _, err := old.Hold(); return err },
		"start":  func() error { _, err := old.Starting(); return err },
		"remove": func() error { return old.Remove(func() error { return nil }, func() error { return nil }) },
	} {
		if err := do(); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if p, err := s.Lookup("web"); err != nil || p.ID != "b2" {
		t.Errorf("web is %v, %v", p, err)
	}
}

// Nobody removes a pod in which a container is being made.
func TestHold(t *testing.T) {
	s := newStore(t)
	p := make1(t, s, "a1", "web")
	held, err := p.Hold()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.lock(sys.TryLock); !errors.Is(err, sys.ErrLocked) {
		t.Errorf("held: %v", err)
	}
	held.Close()
	if err := p.Remove(func() error { return nil }, func() error { return nil }); err != nil {
		t.Error(err)
	}
}

func TestState(t *testing.T) {
	for _, tc := range []struct {
		want  string
		words []string
	}{
		{Created, nil},
		{Created, []string{"created", "created"}},
		{Running, []string{"running", "running"}},
		{Degraded, []string{"running", "exited"}},
		{Degraded, []string{"running", "created"}},
		{Degraded, []string{"running", "restarting"}},
		{Created, []string{"created", "initialized"}},
		{Exited, []string{"exited", "exited"}},
		{Stopped, []string{"exited", "created"}},
		{Paused, []string{"paused", "paused"}},
		{Stopped, []string{"paused", "exited"}},
		{Dead, []string{"running", "a word of the future"}},
	} {
		if got := State(tc.words); got != tc.want {
			t.Errorf("%v: got %s, want %s", tc.words, got, tc.want)
		}
	}
}

func TestAdopt(t *testing.T) {
	p := &Pod{Config: Config{ID: "pod", Name: "web", InfraID: "infra", Spec: spec.Pod{
		Infra: true, Share: []string{"net", "uts"}, Restart: spec.Restart{Policy: "always"}, ShmSize: 5,
		Mounts:  []spec.Mount{{Type: "bind", Source: "/pod", Target: "/a"}, {Type: "bind", Source: "/pod", Target: "/b"}},
		Devices: []spec.Device{{Source: "/dev/x"}}, Security: spec.Security{NoNewPrivileges: true, Seccomp: "unconfined"},
	}}}
	c := spec.Container{
		Network: "none", Mounts: []spec.Mount{{Type: "tmpfs", Target: "/a/"}}, Security: spec.Security{Seccomp: "{}"},
	}
	if err := p.Adopt(&c, Asked{}); err != nil {
		t.Fatal(err)
	}
	if c.Pod != "pod" || c.Network != "container:infra" || c.UTS != "container:infra" || c.IPC != "" || c.PID != "" || c.Hostname != "web" {
		t.Errorf("namespaces: %+v", c)
	}
	if len(c.Mounts) != 2 || c.Mounts[1].Target != "/b" || len(c.Devices) != 1 || c.ShmSize != 5 || c.Restart.Policy != "always" {
		t.Errorf("inherited: %+v", c)
	}
	if !c.Security.NoNewPrivileges || c.Security.Seccomp != "{}" {
		t.Errorf("security: %+v", c.Security)
	}
	for name, asked := range map[string]Asked{"network": {Network: true}, "uts": {UTS: true}, "userns": {UserNS: true}, "hostname": {Hostname: true}} {
		if err := p.Adopt(&spec.Container{}, asked); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	free := spec.Container{PID: "host"}
	if err := p.Adopt(&free, Asked{PID: true}); err != nil || free.PID != "host" {
		t.Errorf("a namespace that is not shared: %q, %v", free.PID, err)
	}
	if c.PodGroup == nil {
		t.Error("it has no part in the pod's control group")
	}
	apart := spec.Container{CgroupParent: "x"}
	if err := p.Adopt(&apart, Asked{}); err != nil || apart.PodGroup != nil {
		t.Errorf("its own choice of a control group: %+v, %v", apart.PodGroup, err)
	}
	once := spec.Container{Remove: true}
	if err := p.Adopt(&once, Asked{}); err != nil || once.Restart.Policy != "" {
		t.Errorf("--rm with a restart policy: %q, %v", once.Restart.Policy, err)
	}
}

// The host's namespaces are had directly, and a new user namespace by way of its
// holder.
func TestAdoptModes(t *testing.T) {
	p := &Pod{Config: Config{ID: "pod", Name: "web", InfraID: "infra", Spec: spec.Pod{
		Infra: true, Share: []string{"net", "pid", "uts"}, Network: "host", PID: "host", UTS: "host", UserNS: spec.UserNS{Mode: spec.UserNSKeepID},
	}}}
	c := spec.Container{}
	if err := p.Adopt(&c, Asked{}); err != nil {
		t.Fatal(err)
	}
	if c.Network != "host" || c.PID != "host" || c.UTS != "host" || c.Hostname != "" || c.UserNS.From != "infra" || c.UserNS.Mode != spec.UserNSKeepID {
		t.Errorf("got %+v", c)
	}
	bare := &Pod{Config: Config{ID: "pod", Name: "web"}}
	c = spec.Container{Network: "none"}
	if err := bare.Adopt(&c, Asked{Network: true, UserNS: true}); err != nil || c.Network != "none" || c.Pod != "pod" {
		t.Errorf("without infra: %+v, %v", c, err)
	}
}
