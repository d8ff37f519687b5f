package userns

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/sys"
)

// The test binary plays all the processes of these tests; argv[0] says which.
const (
	asOrdinaryUser = "userns-ordinary" // the tests again, root no more
	asStarter      = "userns-starter"  // calls Start once: RUNDIR ROLE...
	asChild        = "userns-child"    // what Start starts: RUNDIR ROLE...
	asKept         = "userns-kept"     // a child after execve
)

// noNewPrivs in a starter's environment makes it set that flag on itself.
const noNewPrivs = "NO_NEW_PRIVS"

// The user that tests run as where the real one is root.
const (
	testUID   = 54321
	testGroup = 54322
)

func TestMain(m *testing.M) {
	var err error
	switch os.Args[0] {
	case asOrdinaryUser:
		err = beOrdinary()
	case asStarter:
		err = beStarter()
	case asChild:
		if err = beChild(); errors.Is(err, ErrAbandoned) {
			os.Exit(1) // silently
		}
	case asKept:
		err = errors.Join(sys.SetCloseOnExec(MemberFD, true), present(nil))
	default:
		fuzzing := slices.ContainsFunc(os.Args, func(a string) bool { return strings.HasPrefix(a, "-test.fuzz") })
		if os.Geteuid() != 0 || fuzzing { // a fuzzer runs workers of its own, and needs no user
			os.Exit(m.Run())
		}
		err = runOrdinary()
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		os.Exit(exit.ExitCode())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, os.Args[0]+":", err)
		os.Exit(1)
	}
}

// runOrdinary runs the tests as an ordinary user with subordinate ids, in a
// mount namespace where /etc says so.
func runOrdinary() error {
	cmd := self(asOrdinaryUser, os.Args[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return cmd.Run()
}

func beOrdinary() error {
	dir, err := os.MkdirTemp("", "userns")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	defer func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) }()
	if err := sys.Mount("none", dir, "tmpfs", 0, "mode=755"); err != nil {
		return err
	}
	for file, text := range map[string]string{
		"/etc/passwd": fmt.Sprintf("root:x:0:0::/root:/bin/sh\nnooktest:x:%d:%d::/tmp:/bin/sh\n", testUID, testUID),
		"/etc/subuid": "nooktest:1500000:65536\n",
		"/etc/subgid": "nooktest:1500000:65536\n",
	} {
		if err := cover(dir, file, text, 0o644); err != nil {
			return err
		}
	}
	args := slices.DeleteFunc(slices.Clone(os.Args[1:]), func(a string) bool {
		return strings.HasPrefix(a, "-test.testlogfile=") || strings.HasPrefix(a, "-test.coverprofile=") // in root's directory
	})
	cmd := self("userns.test", args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: testUID, Gid: testUID, Groups: []uint32{testGroup}}}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return cmd.Run()
}

// cover mounts a file with the given text over path; scratch is a directory.
func cover(scratch, path, text string, mode os.FileMode) error {
	f := filepath.Join(scratch, filepath.Base(path))
	if err := os.WriteFile(f, []byte(text), mode); err != nil {
		return err
	}
	if err := os.Chmod(f, mode); err != nil {
		return err
	}
	return sys.Mount(f, path, "", syscall.MS_BIND, "")
}

func self(name string, args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = append([]string{name}, args...)
	return cmd
}

// beStarter waits for a line on standard input, starts, says how it went, and
// goes; the child has the same standard input and output.
func beStarter() error {
	if os.Getenv(noNewPrivs) != "" {
		const prSetNoNewPrivs = 38
		if _, _, errno := syscall.AllThreadsSyscall(syscall.SYS_PRCTL, prSetNoNewPrivs, 1, 0); errno != 0 {
			return errno
		}
	}
	p, err := Start(context.Background(), Options{
		RunDir: os.Args[1],
		Args:   append([]string{asChild}, os.Args[1:]...),
		Env:    append(os.Environ(), "_CONTAINERS_ROOTLESS_UID=forged"),
		Stdin:  os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
	})
	if err != nil {
		return say(Report{Err: err.Error(), Hint: problem.HintOf(err)})
	}
	if p.Notice != "" {
		return say(Report{Notice: p.Notice})
	}
	return nil
}

// A Report is a line of JSON from one of the processes. A starter's has Err, Hint
// or Notice, a child's the rest.
type Report struct {
	Err, Hint, Notice string

	Role                  string
	PID, UID, GID, Groups int
	Map                   Map
	User, Mount           string // namespaces
	CapEff, CapInh        uint64
	Mode3                 string // what descriptor 3 is
	Env                   map[string]string
	Strangers             []string // members in other user namespaces
}

func say(r Report) error {
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(append(line, '\n'))
	return err
}

// beChild becomes a member, and then what its role says.
func beChild() error {
	if err := Ready(); err != nil {
		return err
	}
	switch role := os.Args[2]; role {
	case "end":
		return nil
	case "hold":
		return present(nil)
	case "flash", "linger":
		r, err := observe()
		if err = errors.Join(err, say(r)); err != nil || role == "flash" {
			return err
		}
		ctx, cancel := context.WithCancel(context.Background())
		go func() {
			defer cancel()
			_, _ = io.Copy(io.Discard, os.Stdin)
		}()
		Linger(ctx, os.Args[1], time.Hour)
		return nil
	case "exec":
		if err := KeepOnExec(); err != nil {
			return err
		}
		return syscall.Exec("/proc/self/exe", []string{asKept}, os.Environ())
	case "start": // from inside; then wait
		return startFromInside(os.Args[1], os.Args[3])
	case "elsewhere": // the same with a run directory of which we are no member
		return startFromInside(os.Args[1]+".other", os.Args[3])
	case "scene":
		return beScene(os.Args[3])
	default:
		return fmt.Errorf("no role %q", role)
	}
}

func startFromInside(dir, role string) error {
	p, err := Start(context.Background(), Options{
		RunDir: dir, Args: []string{asChild, dir, role},
		Env: os.Environ(), Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
	})
	if err != nil {
		return err
	}
	return present(p)
}

// present reports, and stays until standard input ends.
func present(child *Process) error {
	r, err := observe()
	if err := errors.Join(err, say(r)); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	if child != nil {
		_, werr := child.Wait()
		err = errors.Join(err, werr)
	}
	return err
}

func observe() (r Report, err error) {
	groups, err := os.Getgroups()
	if err != nil {
		return r, err
	}
	r = Report{PID: os.Getpid(), UID: os.Geteuid(), GID: os.Getegid(), Groups: len(groups), Env: map[string]string{}}
	if r.Map, err = Current(); err != nil {
		return r, err
	}
	status, err := (Host{}).read("/proc/self/status")
	if err != nil {
		return r, err
	}
	r.CapEff, r.CapInh = statusNumber(status, "CapEff", 16), statusNumber(status, "CapInh", 16)
	for name, to := range map[string]*string{"ns/user": &r.User, "ns/mnt": &r.Mount, "fd/3": &r.Mode3} {
		if *to, err = os.Readlink("/proc/self/" + name); err != nil {
			return r, err
		}
	}
	if len(os.Args) > 2 {
		r.Role = os.Args[2]
	}
	for _, name := range EnvNames() {
		r.Env[name] = os.Getenv(name)
	}
	r.Strangers, err = strangers(r.User)
	return r, err
}

// strangers lists the processes that hold a record lock on the file that MemberFD
// is open on, but are in another user namespace: there must never be any.
func strangers(ours string) (bad []string, err error) {
	var st syscall.Stat_t
	if err := syscall.Fstat(MemberFD, &st); err != nil {
		return nil, err
	}
	locks, err := (Host{}).read("/proc/locks")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(locks) {
		f := strings.Fields(line) // 1: POSIX ADVISORY READ PID MAJ:MIN:INODE 0 EOF
		if len(f) < 6 || f[1] != "POSIX" || !strings.HasSuffix(f[5], fmt.Sprintf(":%d", st.Ino)) {
			continue
		}
		ns, err := os.Readlink("/proc/" + f[4] + "/ns/user")
		if err == nil && ns != ours {
			bad = append(bad, fmt.Sprintf("process %s in %s, we in %s", f[4], ns, ours))
		}
	}
	return bad, nil
}

// A cast is a number of starters and their children, held by one pipe.
type cast struct {
	t    *testing.T
	dir  string
	hold *os.File // children stay until it is closed
	in   *os.File
}

func newCast(t *testing.T) *cast {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close(); r.Close() })
	return &cast{t: t, dir: filepath.Join(t.TempDir(), "run"), hold: w, in: r}
}

// A voice is where the reports of one starter and its children come from.
type voice struct {
	t   *testing.T
	cmd *exec.Cmd
	out *bufio.Reader
}

// launch runs a starter.
func (c *cast) launch(role ...string) *voice {
	c.t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { r.Close() })
	cmd := self(asStarter, append([]string{c.dir}, role...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.in, w, os.Stderr
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	w.Close()
	return &voice{c.t, cmd, bufio.NewReader(r)}
}

// report returns the next report.
func (v *voice) report() (r Report) {
	v.t.Helper()
	line, err := v.out.ReadBytes('\n')
	if err != nil {
		v.t.Fatalf("%q: %v", v.cmd.Args, err)
	}
	if err := json.Unmarshal(line, &r); err != nil {
		v.t.Fatalf("%q: %v", line, err)
	}
	return r
}

// roles returns the reports of two children by role.
func (v *voice) roles() map[string]Report {
	v.t.Helper()
	a, b := v.child(), v.child()
	return map[string]Report{a.Role: a, b.Role: b}
}

// child returns the report of a child that must have started without notice.
func (v *voice) child() Report {
	v.t.Helper()
	r := v.report()
	if r.Err != "" || r.Notice != "" {
		v.t.Fatalf("%s: error %q, hint %q, notice %q", v.cmd.Args, r.Err, r.Hint, r.Notice)
	}
	if len(r.Strangers) > 0 {
		v.t.Errorf("two namespaces at a time: %v", r.Strangers)
	}
	return r
}

// needRanges skips tests that need more than one id.
func needRanges(t *testing.T) {
	t.Helper()
	f, err := Host{Env: os.Environ()}.Collect()
	if err != nil {
		t.Fatal(err)
	}
	if problems := f.Problems(); len(problems) > 0 {
		t.Skip(errors.Join(problems...))
	}
}
