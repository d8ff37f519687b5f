// Package conform runs the OCI runtime-tools validation programs against
// "nook oci", as an ordinary user: make conform.
//
// It is a module of its own so that what the programs need stays out of nook's.
// The programs run as root of a user namespace with its own mount, pid, cgroup
// and network namespaces, with procfs and cgroup v2 mounted: what an
// unprivileged user can have.
//
// pass.txt names those that must pass; not.txt says for each other one why it
// can't. A program of neither list, and one that passes although not.txt has it,
// fail the test too. A "~" before a name marks one whose verdict depends on a
// race in the program itself: in pass.txt it may try again, in not.txt it is run
// and not judged.
//
// CONFORM_RUNTIME=crun runs them against that runtime in the same surroundings
// and lists what passes, without judging; crun.txt is such a list. CONFORM_REPORTS=DIR
// keeps what each program said, of either runtime, in DIR/NAME.
package conform

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	tools = "github.com/opencontainers/runtime-tools"
	// insideVar holds the work directory, for the test inside the namespaces.
	insideVar = "NOOK_CONFORM_DIR"
	// otherVar names another runtime to list the verdicts of.
	otherVar = "CONFORM_RUNTIME"
	// reportsVar names a directory for what the programs say.
	reportsVar = "CONFORM_REPORTS"
	// parallel programs mostly wait for each other's sleeps.
	parallel = 4
	// limit is for one program; the slowest takes a fifth of it.
	limit = time.Minute
	// tries of a program with a race in it.
	tries = 3
)

func TestConformance(t *testing.T) {
	if dir := os.Getenv(insideVar); dir != "" {
		inside(t, dir)
		return
	}
	if os.Getuid() == 0 {
		t.Fatal("nook is for ordinary users; run: make conform")
	}
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} { // sub-ids walk through
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	build(t, dir)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("unshare", "--user", "--map-root-user", "--map-auto", "--mount", "--pid", "--cgroup", "--net",
		"--fork", "--mount-proc", "--kill-child", self, "-test.run=TestConformance", "-test.v="+fmt.Sprint(testing.Verbose()))
	cmd.Env = append(os.Environ(), insideVar+"="+dir)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
}

// TestPeer holds the lists to what another runtime can: a program that crun passes
// is none that cannot be passed.
func TestPeer(t *testing.T) {
	pass, not, peer := readList(t, "pass.txt"), readList(t, "not.txt"), readList(t, "crun.txt")
	if len(peer) == 0 {
		t.Error("crun.txt is empty")
	}
	for name := range peer {
		_, must := pass[name]
		_, races := pass["~"+name]
		if reason, cannot := not[name]; cannot {
			t.Errorf("%s: crun passes, and nook does not, because:%s", name, reason)
		} else if _, either := not["~"+name]; !must && !races && !either {
			t.Errorf("%s: in crun.txt, and in no other list", name)
		}
	}
}

// build puts the programs, what they need and nook into dir.
func build(t *testing.T, dir string) {
	t.Helper()
	list := goTool(t, "list", tools+"/validation/...")
	pkgs := slices.DeleteFunc(strings.Fields(list), func(p string) bool { return strings.HasSuffix(p, "/util") })
	goTool(t, append([]string{"build", "-o", filepath.Join(dir, "programs") + "/"}, pkgs...)...)
	goTool(t, "build", "-o", dir, tools+"/cmd/runtimetest")
	src := strings.TrimSpace(goTool(t, "list", "-m", "-f", "{{.Dir}}", tools))
	archive := "rootfs-" + runtime.GOARCH + ".tar.gz"
	data, err := os.ReadFile(filepath.Join(src, archive))
	if errors.Is(err, os.ErrNotExist) {
		t.Skipf("runtime-tools has no %s", archive)
	} else if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, archive), string(data), 0o644)
	write(t, filepath.Join(dir, "runtime"), "#!/bin/sh\n"+runtimeCommand(t, dir)+" --root "+dir+"/state \"$@\"\n", 0o755)
	if err := os.Mkdir(filepath.Join(dir, "tmp"), 0o755); err != nil {
		t.Fatal(err)
	}
}

// olderSpec has bundles name a version of the specification that older runtimes
// know: these refuse any later one, whatever is in the bundle.
const olderSpec = `for a; do
	[ ! -f "$a/config.json" ] || sed -i 's/"ociVersion": *"1\.[123]\.0"/"ociVersion": "1.0.2"/' "$a/config.json"
done
`

// runtimeCommand is how a shell starts the runtime: nook, which it builds where
// NOOK does not name one, or the other one.
func runtimeCommand(t *testing.T, dir string) string {
	t.Helper()
	if other := os.Getenv(otherVar); other != "" {
		path, err := exec.LookPath(other)
		if err != nil {
			t.Fatal(err)
		}
		return olderSpec + "exec " + path
	}
	nook := os.Getenv("NOOK")
	if nook == "" {
		nook = filepath.Join(dir, "nook")
		goTool(t, "build", "-C", "../..", "-o", nook, "./cmd/nook")
	}
	return "exec " + nook + " oci"
}

func goTool(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.Output()
	if err != nil {
		if e, ok := errors.AsType[*exec.ExitError](err); ok {
			t.Fatalf("go %s: %v\n%s", args[0], err, e.Stderr)
		}
		t.Fatal(err)
	}
	return string(out)
}

func write(t *testing.T, path, content string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

// inside runs every program in the namespaces and judges it.
func inside(t *testing.T, dir string) {
	t.Helper()
	// On something else: the kernel refuses to mount a file system on itself.
	for _, fs := range []string{"tmpfs", "cgroup2"} {
		if err := syscall.Mount(fs, "/sys/fs/cgroup", fs, 0, ""); err != nil {
			t.Fatalf("mount %s: %v", fs, err)
		}
	}
	entries, err := os.ReadDir(filepath.Join(dir, "programs"))
	if err != nil {
		t.Fatal(err)
	}
	verdicts := runAll(t, dir, entries)
	if os.Getenv(otherVar) != "" {
		list(t, verdicts)
		return
	}
	pass, not := readList(t, "pass.txt"), readList(t, "not.txt")
	for name, v := range verdicts {
		for try := 1; !v.ok && try < tries && pass["~"+name] != ""; try++ {
			t.Logf("%s: fails, and may try again:%s", name, pass["~"+name])
			v = runProgram(t.Context(), dir, name)
		}
		judge(t, name, v, pass, not)
	}
	for _, list := range []map[string]string{pass, not} {
		for name := range list {
			if _, ok := verdicts[strings.TrimPrefix(name, "~")]; !ok {
				t.Errorf("%s: listed, but there is no such program", name)
			}
		}
	}
	t.Logf("%d of %d must pass", len(pass), len(verdicts))
}

// verdict is how one program ended, with what it said.
type verdict struct {
	ok     bool
	report string
}

// runAll runs the programs, several at a time.
func runAll(t *testing.T, dir string, programs []os.DirEntry) map[string]verdict {
	t.Helper()
	verdicts := map[string]verdict{}
	slots := make(chan struct{}, parallel)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, e := range programs {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			v := runProgram(t.Context(), dir, e.Name())
			mu.Lock()
			defer mu.Unlock()
			verdicts[e.Name()] = v
		})
	}
	wg.Wait()
	if reports := os.Getenv(reportsVar); reports != "" {
		for name, v := range verdicts {
			write(t, filepath.Join(reports, name), v.report, 0o644)
		}
	}
	return verdicts
}

// list prints the verdicts on another runtime.
func list(t *testing.T, verdicts map[string]verdict) {
	t.Helper()
	passed := 0
	for _, name := range slices.Sorted(maps.Keys(verdicts)) {
		word := "fails "
		if verdicts[name].ok {
			word = "passes"
			passed++
		}
		fmt.Println(word, name)
	}
	fmt.Printf("%d of %d pass\n", passed, len(verdicts))
}

func judge(t *testing.T, name string, v verdict, pass, not map[string]string) {
	t.Helper()
	_, must := pass[name]
	must = must || pass["~"+name] != ""
	_, cannot := not[name]
	_, either := not["~"+name]
	switch {
	case either:
	case must && cannot:
		t.Errorf("%s: in both lists", name)
	case must && !v.ok:
		t.Errorf("%s: fails\n%s", name, v.report)
	case cannot && v.ok:
		t.Errorf("%s: passes, so it belongs in pass.txt", name)
	case !must && !cannot:
		t.Errorf("%s: in neither list (it passes: %v)", name, v.ok)
	}
}

// readList reads lines of a name and a reason, which only one that must pass and
// has no race can do without.
func readList(t *testing.T, path string) map[string]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	list := map[string]string{}
	for s := bufio.NewScanner(f); s.Scan(); {
		name, reason, _ := strings.Cut(s.Text(), " ")
		if name == "" || strings.HasPrefix(name, "#") {
			continue
		}
		if strings.TrimSpace(reason) == "" && (path == "not.txt" || strings.HasPrefix(name, "~")) {
			t.Errorf("%s: %s: no reason", path, name)
		}
		list[name] = reason
	}
	return list
}

// runProgram runs one. It passes if it exits with 0, no assertion failed, and
// where it makes none, it reports no error: some speak only of failure.
func runProgram(ctx context.Context, dir, name string) verdict {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(dir, "programs", name))
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "RUNTIME="+filepath.Join(dir, "runtime"), "TMPDIR="+filepath.Join(dir, "tmp"))
	var out, msg strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &msg
	err := cmd.Run()
	failed := regexp.MustCompile(`(?m)^not ok`).MatchString(out.String())
	asserts := regexp.MustCompile(`(?m)^ok`).MatchString(out.String())
	complains := regexp.MustCompile(`"error": "[^"]`).MatchString(out.String())
	return verdict{
		ok:     err == nil && !failed && (asserts || !complains),
		report: fmt.Sprintf("exit: %v\n%s%s", err, msg.String(), out.String()),
	}
}
