package volume_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nook-containers/nook/libpod/volume"
	"github.com/nook-containers/nook/pkg/store/storetest"
	"github.com/nook-containers/nook/pkg/sys"
)

// The tests run in a user namespace, where files can have other owners.
func TestMain(m *testing.M) { storetest.Main(m) }

func newStore(t *testing.T) volume.Store {
	t.Helper()
	return volume.Store{Dir: filepath.Join(t.TempDir(), "volumes")}
}

func create(t *testing.T, s volume.Store, c volume.Config) *volume.Volume {
	t.Helper()
	c.Created = time.Now()
	v, err := s.Create(c, volume.Durable)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func unused() error { return nil }

func TestCreateIsExclusive(t *testing.T) {
	s := newStore(t)
	var made atomic.Int32
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			_, err := s.Create(volume.Config{Name: "data", Labels: map[string]string{"by": fmt.Sprint(i)}}, volume.Volatile)
			switch {
			case err == nil:
				made.Add(1)
			case !errors.Is(err, volume.ErrExists):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if made.Load() != 1 {
		t.Errorf("made %d times", made.Load())
	}
	left, _ := os.ReadDir(s.Dir)
	if len(left) != 1 {
		t.Errorf("left: %v", left)
	}
	if v, err := s.Get("data"); err != nil || v.Driver != volume.Local || !v.Fresh() {
		t.Errorf("got %+v, %v", v, err)
	}
}

func TestNames(t *testing.T) {
	s := newStore(t)
	for _, bad := range []string{"", ".", "..", ".new-x", "a/b", "-a", "a b", strings.Repeat("a", 256)} {
		if _, err := s.Create(volume.Config{Name: bad}, volume.Volatile); err == nil {
			t.Errorf("%q was taken for a name", bad)
		}
		if _, err := s.Get(bad); !errors.Is(err, volume.ErrNotFound) {
			t.Errorf("get %q: %v", bad, err)
		}
		if err := s.Remove(bad, unused); !errors.Is(err, volume.ErrNotFound) {
			t.Errorf("remove %q: %v", bad, err)
		}
	}
}

func TestRemove(t *testing.T) {
	s := newStore(t)
	v := create(t, s, volume.Config{Name: "data"})
	held, err := s.Hold("data")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Remove("data", unused); !errors.Is(err, volume.ErrInUse) {
		t.Errorf("while a container is made with it: %v", err)
	}
	held.Close()
	busy := errors.New("busy")
	if err := s.Remove("data", func() error { return busy }); !errors.Is(err, busy) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(v.Mountpoint()); err != nil {
		t.Errorf("it should be there still: %v", err)
	}
	if err := s.Remove("data", unused); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Hold("data"); !errors.Is(err, volume.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if left, _ := os.ReadDir(s.Dir); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// What killed processes leave is no volume, and goes; what a living one is at stays.
func TestSweep(t *testing.T) {
	s := newStore(t)
	create(t, s, volume.Config{Name: "data"})
	for _, dir := range []string{".new-dead/_data", ".gone-dead/_data/x", ".new-alive/_data"} {
		if err := os.MkdirAll(filepath.Join(s.Dir, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	alive, err := os.Open(filepath.Join(s.Dir, ".new-alive"))
	if err != nil {
		t.Fatal(err)
	}
	defer alive.Close()
	if err := sys.Lock(alive); err != nil {
		t.Fatal(err)
	}
	if all, errs := s.List(); len(all) != 1 || len(errs) != 0 {
		t.Errorf("listed %d, %v", len(all), errs)
	}
	if err := s.Sweep(); err != nil {
		t.Fatal(err)
	}
	var left []string
	entries, _ := os.ReadDir(s.Dir)
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if got := strings.Join(left, " "); got != ".new-alive data" {
		t.Errorf("left: %s", got)
	}
}

func TestDamageHidesNothingElse(t *testing.T) {
	s := newStore(t)
	create(t, s, volume.Config{Name: "good"})
	create(t, s, volume.Config{Name: "bad"})
	if err := os.WriteFile(filepath.Join(s.Dir, "bad/volume.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	all, errs := s.List()
	if len(all) != 1 || all[0].Name != "good" || len(errs) != 1 {
		t.Errorf("%d volumes, %v", len(all), errs)
	}
}

func TestFirst(t *testing.T) {
	s := newStore(t)
	v := create(t, s, volume.Config{Name: "data"})
	put := func(text string) func(*sys.Dir) error {
		return func(d *sys.Dir) error {
			f, err := d.Create("f", 0o600)
			if err != nil {
				return err
			}
			_, err = f.WriteString(text)
			return errors.Join(err, f.Close())
		}
	}
	content := func() string {
		b, _ := os.ReadFile(filepath.Join(v.Mountpoint(), "f"))
		return string(b)
	}
	full := errors.New("disk full")
	err := v.First(volume.Durable, func(d *sys.Dir) error { return errors.Join(put("half")(d), full) })
	if !errors.Is(err, full) || content() != "" || !v.Fresh() {
		t.Errorf("failed: %v, %q left, fresh %v", err, content(), v.Fresh())
	}
	// As a process leaves it that is killed while it copies.
	marker := filepath.Join(s.Dir, "data/fresh")
	if err := errors.Join(os.WriteFile(marker, []byte("filling"), 0o600), os.WriteFile(filepath.Join(v.Mountpoint(), "torn"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	var calls atomic.Int32
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := v.First(volume.Durable, func(d *sys.Dir) error { calls.Add(1); return put("first")(d) }); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if _, err := os.Stat(filepath.Join(v.Mountpoint(), "torn")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("half a copy is left: %v", err)
	}
	if calls.Load() != 1 || content() != "first" || v.Fresh() {
		t.Errorf("%d calls, %q, fresh %v", calls.Load(), content(), v.Fresh())
	}
}

// What is in a volume before its first container is nobody's to overwrite (CVE-2020-1726).
func TestFirstKeepsWhatIsThere(t *testing.T) {
	s := newStore(t)
	v := create(t, s, volume.Config{Name: "data"})
	if err := os.WriteFile(filepath.Join(v.Mountpoint(), "mine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	err := v.First(volume.Durable, func(*sys.Dir) error { t.Error("called"); return nil })
	if err != nil || v.Fresh() {
		t.Errorf("%v, fresh %v", err, v.Fresh())
	}
}

func TestOwnerOption(t *testing.T) {
	s := newStore(t)
	v := create(t, s, volume.Config{Name: "data", Options: map[string]string{"o": "uid=5,gid=6"}})
	d, err := sys.OpenHostDir(v.Mountpoint())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if st, err := d.Lstat("."); err != nil || st.UID != 5 || st.GID != 6 {
		t.Errorf("%+v, %v", st, err)
	}
}
