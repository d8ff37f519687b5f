package image

import (
	"strings"
	"testing"
	"time"
)

func TestBar(t *testing.T) {
	for name, tc := range map[string]struct {
		done, size int64
		cols       int
		want       string
	}{
		"half":         {512, 1024, 60, "Copying blob abc [============------------] 512 B / 1.0 KiB"},
		"whole":        {1 << 20, 1 << 20, 50, "Copying blob abc [============] 1.0 MiB / 1.0 MiB"},
		"no size":      {5 << 30, -1, 60, "Copying blob abc 5.0 GiB"},
		"empty":        {0, 0, 60, "Copying blob abc 0 B / 0 B"},
		"narrow":       {1024, 2048, 30, "Copying blob abc 1.0 KiB / 2."},
		"more than it": {4096, 1024, 50, "Copying blob abc [============] 4.0 KiB / 1.0 KiB"},
		"no columns":   {1, 2, 1, ""},
	} {
		got := bar("abc", tc.done, tc.size, tc.cols)
		if got != tc.want || len(got) >= tc.cols {
			t.Errorf("%s: got %q (%d of %d columns), want %q", name, got, len(got), tc.cols, tc.want)
		}
	}
}

// On a terminal the layers under way are drawn again in place; what is done moves
// up and stays.
func TestBarsAreRedrawnInPlace(t *testing.T) {
	var out strings.Builder
	now := time.Unix(0, 0)
	p := &progress{w: &out, width: func() int { return 50 }, now: func() time.Time { return now }}
	a, b := p.Layer("sha256:aaaaaaaaaaaabbbb", 1000), p.Layer("sha256:bbbbbbbbbbbbcccc", 1000)
	now = now.Add(time.Second)
	a.Add(500)
	if got := screen(out.String()); len(got) != 2 || !strings.Contains(got[0], "aaaaaaaaaaaa") || !strings.Contains(got[1], "bbbbbbbbbbbb") {
		t.Fatalf("screen %q", got)
	}
	before := out.Len()
	b.Add(1)
	if out.Len() != before {
		t.Error("drawn twice at one instant")
	}
	a.Done("done")
	p.say("a notice")
	got := screen(out.String())
	if len(got) != 3 || got[0] != "Copying blob aaaaaaaaaaaa done" || got[1] != "a notice" || !strings.Contains(got[2], "bbbbbbbbbbbb [") {
		t.Errorf("screen %q", got)
	}
	p.finish()
	if got := screen(out.String()); len(got) != 2 {
		t.Errorf("bars are left: %q", got)
	}
}

// screen is what a terminal shows after s: it knows newlines, "up N lines" and
// "erase to the end".
func screen(s string) []string {
	lines := []string{""}
	row := 0
	for s != "" {
		switch {
		case s[0] == '\n':
			if row++; row == len(lines) {
				lines = append(lines, "")
			}
			s = s[1:]
		case strings.HasPrefix(s, "\x1b["):
			end := strings.IndexAny(s, "AJ")
			if s[end] == 'J' {
				lines = append(lines[:row], "")
			} else {
				n := 0
				for _, c := range s[2:end] {
					n = n*10 + int(c-'0')
				}
				row -= n
			}
			s = s[end+1:]
		case s[0] == '\r':
			s = s[1:]
		default:
			end := strings.IndexAny(s, "\n\r\x1b")
			if end < 0 {
				end = len(s)
			}
			lines[row] = s[:end]
			s = s[end:]
		}
	}
	return lines[:len(lines)-1]
}

func TestPipesGetOneLineALayer(t *testing.T) {
	var out strings.Builder
	p := newProgress(&out)
	p.say("Trying")
	l := p.Layer("sha256:aaaaaaaaaaaabbbb", 1000)
	l.Add(1000)
	l.Done("done")
	p.Layer("sha256:cccccccccccccccc", 5)
	p.finish()
	if got := out.String(); got != "Trying\nCopying blob aaaaaaaaaaaa done\n" {
		t.Errorf("got %q", got)
	}
}
