package test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

type command = func(ts *testscript.TestScript, neg bool, args []string)

// commands are what scripts can do beside testscript's own commands:
//
//	load               nook load -i $BUSYBOX/busybox.tar
//	exitcode N CMD...  CMD must end with exactly status N
//	waitfor CMD...     repeats CMD until it succeeds, at most 10 s (longer in a VM)
//	mounts FILE        writes the mounts of this user's session, sorted
//	noprocs            no process of this script is left
//	tree DIR FILE      writes the names of all files below DIR
//	tty FILE CMD...    runs CMD on a terminal as FILE says; see tty_test.go
//	session            gives the script the user's own manager and buses; see [systemd]
//	login CMD...       runs CMD in a new login session with nothing of the script's
//	crash N CMD...     runs CMD N times, each time killing one process of it
func (h *harness) commands() map[string]command {
	return map[string]command{
		"load":     load,
		"exitcode": exitcode,
		"waitfor":  waitfor,
		"mounts":   mounts,
		"noprocs":  noprocs,
		"tree":     tree,
		"tty":      tty,
		"session":  userSession,
		"login":    login,
		"crash":    crash,
	}
}

func usage(ts *testscript.TestScript, bad bool, text string) {
	if bad {
		ts.Fatalf("usage: %s", text)
	}
}

func load(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg || len(args) > 0, "load")
	ts.Check(ts.Exec("nook", "load", "-q", "-i", filepath.Join(ts.Getenv("BUSYBOX"), "busybox.tar")))
}

func exitcode(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg || len(args) < 2, "exitcode N CMD...")
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

func waitfor(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, len(args) < 1, "[!] waitfor CMD...")
	for range 200 * slowness() {
		if err := ts.Exec(args[0], args[1:]...); (err == nil) != neg {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	ts.Fatalf("never happened; last:\n%s%s", ts.ReadFile("stdout"), ts.ReadFile("stderr"))
}

// mounts leaves out the numbers that change with each reading.
func mounts(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg || len(args) != 1, "mounts FILE")
	data, err := os.ReadFile("/proc/self/mountinfo")
	ts.Check(err)
	lines := strings.SplitAfter(string(data), "\n")
	slices.Sort(lines)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.Join(lines, "")), 0o644))
}

func noprocs(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg || len(args) > 0, "noprocs")
	if left := settle(own(ts)); len(left) > 0 {
		ts.Fatalf("processes left:\n%s", strings.Join(left, "\n"))
	}
}

// tree writes the names of all files below a directory, sorted, one a line.
// Files of sub-ids show too, as the walk needs only the directories' names.
func tree(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg || len(args) != 2, "tree DIR FILE")
	cmd := exec.Command("find", ts.MkAbs(args[0]), "-mindepth", "1", "-printf", "%P\n")
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.Output()
	ts.Check(err)
	lines := strings.SplitAfter(string(out), "\n")
	slices.Sort(lines)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(strings.Join(lines, "")), 0o644))
}

// userSession links what a login has in its runtime directory into the script's, so
// that all else in there stays the script's own.
func userSession(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg || len(args) > 0, "session")
	run := ts.Getenv("XDG_RUNTIME_DIR")
	for _, name := range []string{"bus", "systemd"} {
		if _, err := os.Stat(sessionDir(name)); err != nil {
			ts.Fatalf("no session of the user: %v", err)
		}
		ts.Check(os.Symlink(sessionDir(name), filepath.Join(run, name)))
	}
	ts.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path="+filepath.Join(run, "bus"))
}

// login goes through sshd and PAM, as a user from elsewhere does. Its environment,
// directories and session are those of the login; [!] wants a failure.
func login(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, len(args) == 0, "[!] login CMD...")
	err := ts.Exec("ssh", append([]string{"-n", "localhost"}, args...)...)
	if (err != nil) != neg {
		ts.Fatalf("login: %v", err)
	}
}

func own(ts *testscript.TestScript) string {
	dir, ok := ts.Value(ownKey{}).(string)
	if !ok {
		ts.Fatalf("script has no directory")
	}
	return dir
}

// crash proves that SIGKILL at any instant loses nothing: CMD runs N times, and
// each time one of its processes is killed, another one and later in its life
// from round to round. After each round every command must read the state.
func crash(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg || len(args) < 2, "crash N CMD...")
	rounds, err := strconv.Atoi(args[0])
	ts.Check(err)
	var whole time.Duration
	for range 2 { // the second finds warm caches, as the rounds do
		start := time.Now()
		_ = ts.Exec(args[1], args[2:]...) // any status
		whole = time.Since(start)
	}
	hits := 0
	for i := range rounds {
		cmd := exec.Command(path(ts, args[1]), args[2:]...)
		cmd.Env, cmd.Dir = environ(ts), ts.MkAbs(".")
		ts.Check(cmd.Start())
		time.Sleep(whole * time.Duration(i) / time.Duration(rounds))
		all := processes(own(ts))
		if len(all) == 0 { // the machine was busier when it was timed
			whole = whole * 3 / 4
		} else {
			victim := all[i%len(all)]
			if syscall.Kill(victim.pid, syscall.SIGKILL) == nil {
				hits++
				ts.Logf("round %d: killed %s of %d", i, victim.name, len(all))
			}
		}
		_ = cmd.Wait() // any status
		killAll(own(ts))
		readable(ts)
	}
	if hits < rounds/4 {
		ts.Fatalf("only %d of %d rounds met a live process", hits, rounds)
	}
}

// readable fails the script unless the state can be read, and what is listed inspected.
func readable(ts *testscript.TestScript) {
	for _, list := range [][]string{{"ps", "-aq", "--no-trunc"}, {"images", "-q", "--no-trunc"}, {"pod", "ps", "-q", "--no-trunc"}} {
		cmd := exec.Command(ts.Getenv("NOOK"), list...)
		cmd.Env = environ(ts)
		out, err := cmd.CombinedOutput()
		if err != nil {
			ts.Fatalf("nook %v: %v\n%s", list, err, out)
		}
		for id := range strings.FieldsSeq(string(out)) {
			cmd := exec.Command(ts.Getenv("NOOK"), "inspect", id)
			cmd.Env = environ(ts)
			if out, err := cmd.CombinedOutput(); err != nil {
				ts.Fatalf("nook inspect %s (of %v): %v\n%s", id, list, err, out)
			}
		}
	}
}

// path finds nook, which lies in the script's PATH alone.
func path(ts *testscript.TestScript, program string) string {
	if program == "nook" {
		return ts.Getenv("NOOK")
	}
	return program
}

// environ is the script's environment as far as nook looks at it.
func environ(ts *testscript.TestScript) []string {
	var env []string
	for _, k := range []string{"PATH", "HOME", "TMPDIR", "XDG_DATA_HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "NOOK_TEST", "TERM", "WORK", "BUSYBOX", "REGISTRY"} {
		if v := ts.Getenv(k); v != "" {
			env = append(env, k+"="+v)
		}
	}
	return env
}
