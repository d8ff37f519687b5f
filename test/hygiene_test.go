package test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/nook-containers/nook/test/machine"
)

// TestDocsCodeMap keeps docs/code-map.md complete, and free of what is gone.
func TestDocsCodeMap(t *testing.T) {
	doc := readFile(t, "../docs/code-map.md")
	var listed []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(doc, -1) {
		listed = append(listed, m[1])
	}
	var have []string
	for _, p := range listPackages(t) {
		have = append(have, strings.TrimPrefix(p.ImportPath, module))
	}
	sameSet(t, "docs/code-map.md", listed, "the tree", have)
}

// TestDocsDependencies keeps docs/adr/0002-dependencies.md a full list of what
// go.mod names directly: a dependency needs a reason.
func TestDocsDependencies(t *testing.T) {
	doc := readFile(t, "../docs/adr/0002-dependencies.md")
	var listed []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(doc, -1) {
		listed = append(listed, m[1])
	}
	out, err := exec.Command("go", "mod", "edit", "-json", "../go.mod").Output()
	if err != nil {
		t.Fatal(err)
	}
	var mod struct {
		Require []struct {
			Path     string
			Indirect bool
		}
	}
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	var direct []string
	for _, r := range mod.Require {
		if !r.Indirect {
			direct = append(direct, r.Path)
		}
	}
	sameSet(t, "docs/adr/0002-dependencies.md", listed, "go.mod", direct)
}

// TestDocsRecords keeps decisions as short as 0001 says, each with a number of its own.
func TestDocsRecords(t *testing.T) {
	files, err := filepath.Glob("../docs/adr/*.md")
	if err != nil || len(files) == 0 {
		t.Fatal("no records", err)
	}
	for i, f := range files {
		if n, _, _ := strings.Cut(filepath.Base(f), "-"); n != fmt.Sprintf("%04d", i+1) {
			t.Errorf("%s: want number %04d", f, i+1)
		}
		if n := strings.Count(readFile(t, f), "\n"); n > 60 {
			t.Errorf("%s: %d lines: 60 are the most; begin another record", f, n)
		}
	}
}

// TestDocsLinks follows the relative links of every Markdown file.
func TestDocsLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#]+)(#[^)]*)?\)`)
	checked := 0
	for _, file := range treeFiles(t, "") {
		if filepath.Ext(file) != ".md" {
			continue
		}
		for _, m := range link.FindAllStringSubmatch(readFile(t, file), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			checked++
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), m[1])); err != nil {
				t.Errorf("%s: broken link: %v", file, err)
			}
		}
	}
	if checked == 0 {
		t.Fatal("no link found: the pattern is wrong")
	}
}

// TestDocsPackages wants a package comment in each package.
func TestDocsPackages(t *testing.T) {
	documented := map[string]bool{}
	for _, file := range treeFiles(t, ".go") {
		dir := filepath.Dir(file)
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		want := "Package " + f.Name.Name + " "
		if f.Name.Name == "main" {
			want = "Command "
		}
		documented[dir] = documented[dir] || strings.HasPrefix(f.Doc.Text(), want)
	}
	for dir, ok := range documented {
		if !ok {
			t.Errorf("%s: no package comment", dir)
		}
	}
}

// TestScriptsRunSomewhere wants a script that needs more than any host has to
// name a machine that has it. There, a skip is a failure.
func TestScriptsRunSomewhere(t *testing.T) {
	all, err := machine.ReadScripts("script")
	if err != nil || len(all) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	needs := regexp.MustCompile(`(?m)^\[!(systemd|journald|controller|machine)[]:].* skip`)
	marked := 0
	for _, s := range all {
		marked += len(s.Machines)
		for _, m := range needs.FindAllStringSubmatch(readFile(t, "script/"+s.Name+".txtar"), -1) {
			if len(s.Machines) == 0 || m[1] == "controller" && !slices.Contains(s.Machines, machine.VM) {
				t.Errorf("%s: skips on %s, and no machine that has it runs it: add a line # machines: vm", s.Name, m[1])
			}
		}
	}
	if marked == 0 {
		t.Error("no script is for a machine")
	}
}

// TestScriptsSayWhatTheyTest wants each script to open with a comment.
func TestScriptsSayWhatTheyTest(t *testing.T) {
	scripts, err := filepath.Glob("script/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, s := range scripts {
		if !strings.HasPrefix(readFile(t, s), "# ") {
			t.Errorf("%s: first line is no comment", s)
		}
	}
}

// TestTreeIsTidy looks for what must not be committed: paths of the machine it
// was written on, unfinished work, and conflict marks.
func TestTreeIsTidy(t *testing.T) {
	bad := regexp.MustCompile(`(^|[^\w])/(work|root)/[a-z]|(//|#) ?(TO` + `DO|FIX` + `ME)\b|^<{7} |^>{7} |INT` + `ERIM`)
	for _, file := range treeFiles(t, "") {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.IndexByte(data, 0) >= 0 {
			continue
		}
		n := 0
		for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
			if n++; bad.Match(lines.Bytes()) {
				t.Errorf("%s:%d: %s", file, n, lines.Text())
			}
		}
	}
}

// treeFiles lists the files of the source tree with one suffix.
func treeFiles(t *testing.T, suffix string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir("..", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && slices.Contains([]string{"../.git", "../bin", "../contrib/tools"}, p) {
			return filepath.SkipDir
		}
		if d.Type().IsRegular() && strings.HasSuffix(p, suffix) && p != "../.git" {
			files = append(files, p)
		}
		return nil
	})
	if err != nil || len(files) == 0 {
		t.Fatalf("walk: %d files, %v", len(files), err)
	}
	return files
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func sameSet(t *testing.T, nameA string, a []string, nameB string, b []string) {
	t.Helper()
	for _, x := range a {
		if !slices.Contains(b, x) {
			t.Errorf("%s has %s, %s does not", nameA, x, nameB)
		}
	}
	for _, x := range b {
		if !slices.Contains(a, x) {
			t.Errorf("%s has %s, %s does not", nameB, x, nameA)
		}
	}
	if len(a) == 0 || len(b) == 0 {
		t.Errorf("%s lists %d, %s lists %d", nameA, len(a), nameB, len(b))
	}
}
