package system

import (
	"bytes"
	"testing"
	"time"
)

func TestWriteTree(t *testing.T) {
	var b bytes.Buffer
	writeTree(&b, map[string]any{
		"b": map[string]any{"y": "yes", "x": "plain words", "empty": map[string]any{}},
		"a": []any{"12", "v2", map[string]any{"n": 1, "m": true}},
		"c": []any{}, "d": "", "e": "a: b", "f": " x", "g": "line\nbreak", "h": nil,
	}, "")
	want := `a:
- "12"
- v2
- m: true
  "n": 1
b:
  empty: {}
  x: plain words
  "y": "yes"
c: []
d: ""
e: "a: b"
f: " x"
g: "line\nbreak"
h: null
`
	if b.String() != want {
		t.Errorf("got\n%s", b.String())
	}
}

func TestHostFigures(t *testing.T) {
	if got := utilizationOf("cpu  10 10 20 60 5 5\ncpu0 1 1 1 1\n"); got != (utilization{UserPercent: 20, SystemPercent: 20, IdlePercent: 60}) {
		t.Errorf("utilization %+v", got)
	}
	for _, bad := range []string{"", "cpu 1\n", "cpu 0 0 0 0\n", "intr 1 2 3 4 5"} {
		if got := utilizationOf(bad); got != (utilization{}) {
			t.Errorf("utilization of %q: %+v", bad, got)
		}
	}
	if got := kilobytes("MemTotal:       2048 kB\nMemFree: 1 kB\n", "MemFree"); got != 1024 {
		t.Errorf("memory %d", got)
	}
	if got := uptime(26*time.Hour + 3*time.Minute + 4500*time.Millisecond); got != "26h 3m 4.00s (Approximately 1.09 days)" {
		t.Errorf("uptime %q", got)
	}
	want := distribution{Distribution: "debian", Version: "12", Codename: "bookworm"}
	if got := distributionOf("ID=debian\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\n"); got != want {
		t.Errorf("distribution %+v", got)
	}
	if got := distributionOf(""); got.Distribution != "unknown" {
		t.Errorf("distribution %+v", got)
	}
}
