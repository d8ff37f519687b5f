package test

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDocsSecurity checks that each attack in docs/security.md has tests, that they
// exist, that every script of an attack is listed, and the count of it all.
func TestDocsSecurity(t *testing.T) {
	doc := readFile(t, "../docs/security.md")
	rows := 0
	named := regexp.MustCompile("`([^`]+\\.(?:txtar|go))(?:: (Test\\w+))?`")
	for line := range strings.Lines(doc) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| attack |") {
			continue
		}
		rows++
		if len(cells) != 3 {
			t.Errorf("%d cells, want 3: %s", len(cells), line)
			continue
		}
		tests := named.FindAllStringSubmatch(cells[2], -1)
		if len(tests) == 0 || len(tests) != strings.Count(cells[2], "`")/2 {
			t.Errorf("no test, or one that is not FILE.txtar or FILE.go: TestNAME: %s", line)
		}
		for _, m := range tests {
			text := readFile(t, filepath.Join("..", m[1]))
			if (m[2] == "") != strings.HasSuffix(m[1], ".txtar") || m[2] != "" && !strings.Contains(text, "\nfunc "+m[2]+"(") {
				t.Errorf("%s has no test %q", m[1], m[2])
			}
		}
	}
	if want := fmt.Sprintf("**%d of %d** attacks", rows, rows); !strings.Contains(doc, want) {
		t.Errorf("docs/security.md should say %q", want)
	}
	scripts, err := filepath.Glob("script/attack_*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("%d scripts of attacks, %v", len(scripts), err)
	}
	for _, s := range scripts {
		if !strings.Contains(doc, "`test/"+s+"`") {
			t.Errorf("docs/security.md does not name test/%s", s)
		}
	}
}
