package cgroups

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nook-containers/nook/pkg/problem"
)

// tree returns an empty group for one test.
func tree(t *testing.T) string {
	t.Helper()
	h, err := Find()
	if err != nil {
		t.Fatal(err)
	}
	if h.Base == "" {
		t.Skip("no delegated part of a cgroup v2 tree (run: make test, as root)")
	}
	dir := filepath.Join(h.Base, "unit-test-"+strconv.Itoa(os.Getpid())+"-"+t.Name())
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := remove(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// sleeper is a process in dir.
func sleeper(t *testing.T, g *Group) *exec.Cmd {
	t.Helper()
	c := exec.Command("sleep", "1000")
	c.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(g.File().Fd()), Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	return c
}

func mustMake(t *testing.T, dir string) *Group {
	t.Helper()
	g, err := Make(dir)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestGroupIsRemovedWithItsProcesses(t *testing.T) {
	dir := filepath.Join(tree(t), "parent", "g")
	g := mustMake(t, dir)
	c := sleeper(t, g)
	inner := filepath.Join(dir, "a", "b")
	if err := os.MkdirAll(inner, 0o755); err != nil {
		t.Fatal(err)
	}
	other := sleeper(t, g)
	if err := Move(inner, other.Process.Pid, 1<<22); err != nil { // no process has the second pid
		t.Fatal(err)
	}
	pids, err := Processes(dir)
	want := []int{c.Process.Pid, other.Process.Pid}
	slices.Sort(pids)
	slices.Sort(want)
	if err != nil || !slices.Equal(pids, want) {
		t.Errorf("processes %v, %v; want %v", pids, err, want)
	}
	if err := g.Remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after Remove: %v", err)
	}
	for _, c := range []*exec.Cmd{c, other} {
		if err := c.Wait(); err == nil {
			t.Error("a process was not killed")
		}
	}
}

func TestFreeze(t *testing.T) {
	g := mustMake(t, filepath.Join(tree(t), "g"))
	c := sleeper(t, g)
	if frozen, err := Frozen(g.Dir()); err != nil || frozen {
		t.Errorf("before: %v, %v", frozen, err)
	}
	if err := Freeze(g.Dir(), time.Minute); err != nil {
		t.Fatal(err)
	}
	if frozen, err := Frozen(g.Dir()); err != nil || !frozen {
		t.Errorf("frozen: %v, %v", frozen, err)
	}
	// It gets no signal but SIGKILL.
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := Thaw(g.Dir()); err != nil {
		t.Fatal(err)
	}
	err := c.Wait()
	if ws, ok := c.ProcessState.Sys().(syscall.WaitStatus); !ok || ws.Signal() != syscall.SIGTERM {
		t.Errorf("ended with %v", err)
	}
	if err := g.Remove(); err != nil {
		t.Fatal(err)
	}
	if frozen, err := Frozen(g.Dir()); err != nil || frozen {
		t.Errorf("gone: %v, %v", frozen, err)
	}
}

// A group that somebody holds is theirs; one that nobody holds is a left-over.
func TestSweep(t *testing.T) {
	dir := tree(t)
	held := mustMake(t, filepath.Join(dir, "x-held"))
	left := mustMake(t, filepath.Join(dir, "x-left"))
	other := mustMake(t, filepath.Join(dir, "y-left"))
	sleeper(t, left)
	for _, g := range []*Group{left, other} {
		if err := g.Close(); err != nil { // as when its holder is killed
			t.Fatal(err)
		}
	}
	if _, err := Make(held.Dir()); !errors.Is(err, fs.ErrExist) {
		t.Errorf("make one that is held: %v", err)
	}
	if err := Sweep(dir, "x-"); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"x-held": true, "x-left": false, "y-left": true} {
		if _, err := os.Stat(filepath.Join(dir, name)); (err == nil) != want {
			t.Errorf("%s: %v, want it there: %v", name, err, want)
		}
	}
	again := mustMake(t, other.Dir()) // takes the left-over's place
	for _, g := range []*Group{held, again} {
		if err := g.Remove(); err != nil {
			t.Error(err)
		}
	}
}

// Many makers and sweepers at once: every maker gets its group.
func TestMakeWhileSweeping(t *testing.T) {
	dir := tree(t)
	stop, swept := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			select {
			case <-stop:
				swept <- nil
				return
			default:
			}
			if err := Sweep(dir, "x-"); err != nil {
				swept <- err
				return
			}
		}
	}()
	for i := range 200 {
		g := mustMake(t, filepath.Join(dir, "x-"+strconv.Itoa(i%3)))
		if _, err := os.Stat(filepath.Join(g.Dir(), procs)); err != nil {
			t.Fatal(err)
		}
		if err := g.Remove(); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	if err := <-swept; err != nil {
		t.Error(err)
	}
}

func TestUsage(t *testing.T) {
	g := mustMake(t, filepath.Join(tree(t), "g"))
	c := exec.Command("sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done")
	c.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(g.File().Fd())}
	if err := c.Run(); err != nil {
		t.Fatal(err)
	}
	u, err := ReadUsage(g.Dir())
	if err != nil || u.CPU <= 0 {
		t.Errorf("got %+v, %v", u, err)
	}
	have, err := Available(g.Dir())
	if err != nil || u.HasMemory != slices.Contains(have, "memory") || u.HasPIDs != slices.Contains(have, "pids") {
		t.Errorf("got %+v with the controllers %v, %v", u, have, err)
	}
	if err := g.Remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadUsage(g.Dir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of a group that is gone: %v", err)
	}
}

// Processes of the base are in the way of controllers, and are moved.
func TestEvacuate(t *testing.T) {
	g := mustMake(t, filepath.Join(tree(t), "g"))
	c := sleeper(t, g)
	for range 2 {
		if err := Evacuate(g.Dir(), "rest"); err != nil {
			t.Fatal(err)
		}
	}
	pids, err := Processes(filepath.Join(g.Dir(), "rest"))
	if err != nil || !slices.Equal(pids, []int{c.Process.Pid}) {
		t.Errorf("got %v, %v", pids, err)
	}
	if err := g.Remove(); err != nil {
		t.Error(err)
	}
}

func TestMissingController(t *testing.T) {
	dir := tree(t)
	writes := []Write{{Controller: "no-such", File: "no-such.max", Value: "1"}, {Controller: "rare", File: "rare.max", Optional: true}}
	err := Check(dir, writes)
	if e, ok := errors.AsType[*MissingError](err); !ok || !slices.Equal(e.Controllers, []string{"no-such"}) || problem.HintOf(err) == "" {
		t.Errorf("check: %v", err)
	}
	err = Set(dir, writes)
	if _, ok := errors.AsType[*MissingError](err); !ok {
		t.Errorf("set: %v", err)
	}
	if err := Set(dir, []Write{writes[1], {File: "cgroup.max.depth", Value: "3"}}); err != nil {
		t.Errorf("optional: %v", err)
	}
	if s, err := read(dir, "cgroup.max.depth"); err != nil || s != "3\n" {
		t.Errorf("cgroup.max.depth is %q, %v", s, err)
	}
	if err := Set(dir, []Write{{File: "none", Or: &Write{File: "cgroup.max.depth", Value: "4"}}}); err != nil {
		t.Errorf("alternative: %v", err)
	}
	if err := Set(dir, []Write{{File: "cgroup.max.depth", Value: "x"}}); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("a value that the kernel refuses: %v", err)
	}
}

func TestIOTotals(t *testing.T) {
	read, written := ioTotals("8:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n8:16 rbytes=5 wbytes=1\n253:0 \n")
	if read != 15 || written != 21 {
		t.Errorf("got %d, %d", read, written)
	}
}

// A family goes with its last member and comes with the next one, however many
// come and go at once.
func TestFamily(t *testing.T) {
	family := filepath.Join(tree(t), Family+"x")
	a, b := mustMake(t, filepath.Join(family, "nook-a")), mustMake(t, filepath.Join(family, "nook-b"))
	if err := a.Remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(family); err != nil {
		t.Errorf("with a member: %v", err)
	}
	if err := b.Remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(family); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without members: %v", err)
	}
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for range 200 {
				g, err := Make(filepath.Join(family, "nook-"+strconv.Itoa(i)))
				if err == nil {
					err = g.Remove()
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if _, err := os.Stat(family); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after all: %v", err)
	}
}
