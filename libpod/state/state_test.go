package state

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nook-containers/nook/pkg/sys"
)

// TestMain doubles as a monitor: a process that makes a container, says so, and
// holds it until it is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("STATE_MONITOR"); dir != "" {
		if err := beMonitor(dir); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	if path := os.Getenv("STATE_LOOKER"); path != "" {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			os.Exit(1)
		}
		pid, _ := sys.RecordOwner(f)
		fmt.Println(pid)
		os.Exit(0)
	}
	if path := os.Getenv("STATE_WAITER"); path != "" {
		fmt.Println(beWaiter(path))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func beMonitor(dir string) error {
	s := Store{Dir: dir, Run: dir}
	if id := os.Getenv("STATE_SESSION"); id != "" {
		c := &Container{Config: Config{ID: os.Getenv("STATE_ID")}, store: Store{Run: os.Getenv("STATE_RUN")}}
		if _, err := c.HoldSession(Session{ID: id}); err != nil {
			return err
		}
		fmt.Println("ready")
		time.Sleep(time.Hour) // it gets killed
	}
	create := s.Create
	if os.Getenv("STATE_EPHEMERAL") != "" {
		create = s.CreateEphemeral
	}
	c, err := create(Config{ID: os.Getenv("STATE_ID"), Name: os.Getenv("STATE_NAME"), Created: time.Now()})
	if err != nil {
		return err
	}
	if os.Getenv("STATE_STAGE") != "new" {
		if err := c.Commit(); err != nil {
			return err
		}
		boot, err := BootID()
		if err != nil {
			return err
		}
		if err := c.WriteRun(Run{Boot: boot, PID: os.Getpid(), Started: time.Now()}); err != nil {
			return err
		}
	}
	fmt.Println("ready")
	time.Sleep(time.Hour) // it gets killed
	return nil
}

// monitor starts such a process; kill ends it as SIGKILL would.
func monitor(t *testing.T, s Store, id, name string, env ...string) (kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), append(env, "STATE_MONITOR="+s.Dir, "STATE_ID="+id, "STATE_NAME="+name, "STATE_RUN="+s.Run)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("monitor said %q, %v", line, err)
	}
	kill = sync.OnceFunc(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	t.Cleanup(kill)
	return kill
}

func newStore(t *testing.T) Store {
	t.Helper()
	return Store{Dir: t.TempDir(), Run: t.TempDir()}
}

func id(c byte) string { return strings.Repeat(string(c), 64) }

func create(t *testing.T, s Store, id, name string) *Container {
	t.Helper()
	c, err := s.Create(Config{ID: id, Name: name, Created: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Commit(); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestLookup(t *testing.T) {
	s := newStore(t)
	create(t, s, "ab"+id('1')[2:], "web").Release()
	create(t, s, "ab"+id('2')[2:], "ab1").Release()
	for in, want := range map[string]string{"web": "web", "ab1": "ab1", "ab11": "web", "ab2": "ab1"} {
		if c, err := s.Lookup(in); err != nil || c.Name != want {
			t.Errorf("Lookup(%q): %v, %v; want %s", in, c, err, want)
		}
	}
	for in, want := range map[string]error{"ab": ErrAmbiguous, "": ErrNotFound, "nobody": ErrNotFound, "../names/web": ErrNotFound, "abf": ErrNotFound} {
		if _, err := s.Lookup(in); !errors.Is(err, want) {
			t.Errorf("Lookup(%q): %v, want %v", in, err, want)
		}
	}
}

func TestNameIsTakenOnce(t *testing.T) {
	s := newStore(t)
	create(t, s, id('a'), "web").Release()
	c, err := s.Create(Config{ID: id('b'), Name: "web"})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Commit(); !errors.Is(err, ErrNameTaken) {
		t.Fatalf("got %v, want ErrNameTaken", err)
	}
	if err := c.Discard(); err != nil {
		t.Fatal(err)
	}
	if all, _ := s.List(); len(all) != 1 {
		t.Errorf("%d containers, want the first alone", len(all))
	}
}

func TestNameOfDeadMakerIsFree(t *testing.T) {
	s := newStore(t)
	kill := monitor(t, s, id('a'), "web", "STATE_STAGE=new")
	// The maker died between the name and the rename.
	if err := s.reserve("web", id('a')); err != nil {
		t.Fatal(err)
	}
	if err := s.reserve("web", id('b')); !errors.Is(err, ErrNameTaken) {
		t.Errorf("took the name from a living maker: %v", err)
	}
	kill()
	if err := s.reserve("web", id('b')); err != nil {
		t.Errorf("the maker is dead: %v", err)
	}
}

func TestStatusFollowsTheLock(t *testing.T) {
	s := newStore(t)
	kill := monitor(t, s, id('a'), "web")
	c, err := s.Lookup("web")
	if err != nil {
		t.Fatal(err)
	}
	if st, err := c.Status(); err != nil || st.Word != Running || st.Monitor == 0 {
		t.Fatalf("while the monitor lives: %+v, %v", st, err)
	}
	if err := c.Hold(); !errors.Is(err, ErrRunning) {
		t.Errorf("Hold: %v, want ErrRunning", err)
	}
	kill()
	st, err := c.Status()
	if err != nil || st.Word != Exited || st.Run.ExitCode != killedExit || !strings.Contains(st.Run.Error, "monitor was killed") {
		t.Errorf("after SIGKILL: %+v, %v", st, err)
	}
	st.Run.Finished, st.Run.Boot = time.Time{}, "another"
	if err := c.WriteRun(st.Run); err != nil {
		t.Fatal(err)
	}
	if st, _ = c.Status(); st.Word != Exited || !strings.Contains(st.Run.Error, "restarted") {
		t.Errorf("after a reboot: %+v", st)
	}
}

// Who waits for the end has the lock for a moment, shared. That must neither look
// like a monitor nor keep the next one from starting.
func TestHoldBesideWaiters(t *testing.T) {
	s := newStore(t)
	create(t, s, id('a'), "web").Release()
	c, err := s.Lookup("web")
	if err != nil {
		t.Fatal(err)
	}
	waiter := exec.Command(os.Args[0])
	waiter.Env = append(os.Environ(), "STATE_WAITER="+filepath.Join(c.Dir(), lockFile))
	out, err := waiter.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := waiter.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = waiter.Process.Kill(); _ = waiter.Wait() }()
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "waiting\n" {
		t.Fatalf("waiter said %q, %v", line, err)
	}
	for range 2000 {
		if pid, err := c.Monitor(); pid != 0 || err != nil {
			t.Fatalf("Monitor: %d, %v", pid, err)
		}
		if err := c.Hold(); err != nil {
			t.Fatal(err)
		}
		c.Release()
	}
}

// beWaiter takes and drops the lock as AwaitMonitor does, again and again.
func beWaiter(path string) error {
	said := false
	for {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		if err := sys.WaitRecordLock(f, false); err != nil {
			return err
		}
		if !said {
			fmt.Println("waiting")
			said = true
		}
		f.Close()
	}
}

func TestSweep(t *testing.T) {
	s := newStore(t)
	create(t, s, id('1'), "keep").Release()
	killNew := monitor(t, s, id('2'), "made", "STATE_STAGE=new")
	killRun := monitor(t, s, id('3'), "brief", "STATE_EPHEMERAL=1")
	monitor(t, s, id('4'), "alive", "STATE_EPHEMERAL=1")
	half := create(t, s, id('5'), "half")
	if err := os.Rename(half.dir, s.path(trash, half.ID)); err != nil { // killed in the middle of rm
		t.Fatal(err)
	}
	half.Release()
	if err := os.Mkdir(s.path(containers, bornPrefix+"1"), 0o700); err != nil { // killed before it had a name
		t.Fatal(err)
	}
	killNew()
	killRun()
	var forgotten []string
	if err := s.Sweep(func(id string) error { forgotten = append(forgotten, id[:1]); return nil }); err != nil {
		t.Fatal(err)
	}
	slices.Sort(forgotten)
	if want := []string{"2", "3", "5"}; !slices.Equal(forgotten, want) {
		t.Errorf("forgot the layers of %v, want %v", forgotten, want)
	}
	var left []string
	all, errs := s.List()
	for _, c := range all {
		left = append(left, c.Name)
	}
	slices.Sort(left)
	if want := []string{"alive", "keep"}; !slices.Equal(left, want) || len(errs) > 0 {
		t.Errorf("left %v %v, want %v", left, errs, want)
	}
	for _, pattern := range []string{"trash/*", "*/.new-*", "*/.born-*", "names/made", "names/brief", "names/half"} {
		if found, _ := filepath.Glob(s.path(pattern)); found != nil {
			t.Errorf("left behind: %v", found)
		}
	}
}

// A layer that cannot be deleted now must be found again later.
func TestFailedRemoveIsFinishedBySweep(t *testing.T) {
	s := newStore(t)
	c := create(t, s, id('a'), "web")
	full := errors.New("disk trouble")
	if err := c.Remove(func(string) error { return full }); !errors.Is(err, full) {
		t.Fatalf("got %v", err)
	}
	c.Release()
	if _, err := s.Lookup("web"); !errors.Is(err, ErrNotFound) {
		t.Errorf("half a container is visible: %v", err)
	}
	var again string
	if err := s.Sweep(func(id string) error { again = id; return nil }); err != nil || again != id('a') {
		t.Errorf("swept %q, %v", again, err)
	}
}

func TestDamageHidesNothingElse(t *testing.T) {
	s := newStore(t)
	create(t, s, id('a'), "good").Release()
	bad := create(t, s, id('b'), "bad")
	bad.Release()
	if err := os.WriteFile(filepath.Join(bad.dir, configFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	all, errs := s.List()
	if len(all) != 1 || all[0].Name != "good" || len(errs) != 1 || !strings.Contains(errs[0].Error(), bad.dir) {
		t.Errorf("List = %v, %v", all, errs)
	}
}

// Many makers and a sweeper at once: nobody's container is taken for an orphan.
func TestCreateBesideSweep(t *testing.T) {
	s := newStore(t)
	stop := make(chan struct{})
	var sweeper, makers sync.WaitGroup
	sweeper.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				if err := s.Sweep(func(string) error { return nil }); err != nil {
					t.Error(err)
				}
			}
		}
	})
	for i := range 4 {
		makers.Go(func() {
			for n := range 10 {
				monitor(t, s, fmt.Sprintf("%02x%02x", i, n)+id('0')[4:], fmt.Sprintf("c%d-%d", i, n))()
			}
		})
	}
	makers.Wait()
	close(stop)
	sweeper.Wait()
	if all, errs := s.List(); len(all) != 40 || len(errs) > 0 {
		t.Errorf("%d containers, %v; want 40", len(all), errs)
	}
}

// Whoever asks about a container that this process holds, by whatever record, does
// not take it away.
// Reload follows what others change, and reads nothing where nobody has.
func TestReload(t *testing.T) {
	s := newStore(t)
	c := create(t, s, id('a'), "mine")
	defer c.Release()
	other, err := s.Lookup("mine")
	if err != nil {
		t.Fatal(err)
	}
	for _, image := range []string{"one", "two"} {
		if err := other.Change(func(cfg *Config) error { cfg.ImageName = image; return nil }); err != nil {
			t.Fatal(err)
		}
		if err := c.Reload(); err != nil || c.ImageName != image {
			t.Errorf("image %q, %v; want %q", c.ImageName, err, image)
		}
	}
	c.ImageName = "here"
	passedOn := s.Adopt(c.Dir(), c.Known(), nil)
	for who, c := range map[string]*Container{"who read it": c, "who it was passed on to": passedOn} {
		if err := c.Reload(); err != nil || c.ImageName != "here" {
			t.Errorf("%s: read again, though nothing had changed: %q, %v", who, c.ImageName, err)
		}
	}
	if err := c.Change(func(cfg *Config) error { cfg.ImageName = "half"; return errors.New("no") }); err == nil {
		t.Error("changed")
	}
	if err := c.Reload(); err != nil || c.ImageName != "two" {
		t.Errorf("after a change that failed: %q, %v", c.ImageName, err)
	}
}

func TestLookAtOwn(t *testing.T) {
	s := newStore(t)
	c := create(t, s, id('a'), "own")
	defer c.Release()
	fresh, err := s.Lookup("own")
	if err != nil {
		t.Fatal(err)
	}
	if pid, err := fresh.Monitor(); err != nil || pid != os.Getpid() {
		t.Errorf("monitor is %d, %v; want this process", pid, err)
	}
	if yes, err := s.Watched(c.ID); err != nil || !yes {
		t.Errorf("watched: %v, %v", yes, err)
	}
	// The kernel says so too, to another process.
	other := exec.Command(os.Args[0])
	other.Env = append(os.Environ(), "STATE_LOOKER="+filepath.Join(c.Dir(), lockFile))
	out, err := other.Output()
	if want := fmt.Sprintln(os.Getpid()); string(out) != want || err != nil {
		t.Errorf("another process sees the monitor %q, %v; want %q", out, err, want)
	}
	c.Release()
	if yes, err := s.Watched(c.ID); err != nil || yes {
		t.Errorf("watched after release: %v, %v", yes, err)
	}
}
