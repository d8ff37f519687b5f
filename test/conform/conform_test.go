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
// fail the test too. A "~" before a name in not.txt marks one whose verdict
// depends on timing in the program itself; it is run, and not judged.
package conform

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
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
	// parallel programs mostly wait for each other's sleeps.
	parallel = 4
	// limit is for one program; the slowest takes a fifth of it.
	limit = time.Minute
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

// build puts the programs, what they need and nook into dir.
func build(t *testing.T, dir string) {
	t.Helper()
	list := run(t, "go", "list", tools+"/validation/...")
	pkgs := slices.DeleteFunc(strings.Fields(list), func(p string) bool { return strings.HasSuffix(p, "/util") })
	run(t, "go", append([]string{"build", "-o", filepath.Join(dir, "programs") + "/"}, pkgs...)...)
	run(t, "go", "build", "-o", dir, tools+"/cmd/runtimetest")
	nook := os.Getenv("NOOK")
	if nook == "" {
		nook = filepath.Join(dir, "nook")
		run(t, "go", "build", "-C", "../..", "-o", nook, "./cmd/nook")
	}
	src := strings.TrimSpace(run(t, "go", "list", "-m", "-f", "{{.Dir}}", tools))
	archive := "rootfs-amd64.tar.gz"
	data, err := os.ReadFile(filepath.Join(src, archive))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, archive), string(data), 0o644)
	write(t, filepath.Join(dir, "runtime"), "#!/bin/sh\nexec "+nook+" oci --root "+dir+"/state \"$@\"\n", 0o755)
	if err := os.Mkdir(filepath.Join(dir, "tmp"), 0o755); err != nil {
		t.Fatal(err)
	}
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.Output()
	if err != nil {
		if e, ok := errors.AsType[*exec.ExitError](err); ok {
			t.Fatalf("%s: %v\n%s", name, err, e.Stderr)
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
	if err := syscall.Mount("cgroup2", "/sys/fs/cgroup", "cgroup2", 0, ""); err != nil {
		t.Fatal("mount cgroup v2: ", err)
	}
	pass, not := readList(t, "pass.txt"), readList(t, "not.txt")
	entries, err := os.ReadDir(filepath.Join(dir, "programs"))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	slots := make(chan struct{}, parallel)
	var wg sync.WaitGroup
	for _, e := range entries {
		found[e.Name()] = true
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			ok, report := runProgram(t.Context(), dir, e.Name())
			judge(t, e.Name(), ok, report, pass, not)
		})
	}
	wg.Wait()
	for _, list := range []map[string]string{pass, not} {
		for name := range list {
			if !found[strings.TrimPrefix(name, "~")] {
				t.Errorf("%s: listed, but there is no such program", name)
			}
		}
	}
	t.Logf("%d of %d must pass", len(pass), len(entries))
}

func judge(t *testing.T, name string, ok bool, report string, pass, not map[string]string) {
	t.Helper()
	_, must := pass[name]
	_, cannot := not[name]
	_, either := not["~"+name]
	switch {
	case either:
	case must && cannot:
		t.Errorf("%s: in both lists", name)
	case must && !ok:
		t.Errorf("%s: fails\n%s", name, report)
	case cannot && ok:
		t.Errorf("%s: passes, so it belongs in pass.txt", name)
	case !must && !cannot:
		t.Errorf("%s: in neither list (it passes: %v)", name, ok)
	}
}

// readList reads lines of a name and, in not.txt, a reason.
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
		if path == "not.txt" && strings.TrimSpace(reason) == "" {
			t.Errorf("not.txt: %s: no reason", name)
		}
		list[name] = reason
	}
	return list
}

// runProgram runs one. It passes if it exits with 0, no assertion failed, and
// where it makes none, it reports no error: some speak only of failure.
func runProgram(ctx context.Context, dir, name string) (ok bool, report string) {
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
	return err == nil && !failed && (asserts || !complains), fmt.Sprintf("%v\n%s%s", err, msg.String(), out.String())
}
