package userns

import (
	"errors"
	"maps"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestParseSubIDs(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		want []Range
	}{
		"by name":               {"bob:1:2\nalice:100000:65536\n", []Range{{100000, 65536}}},
		"by number":             {"1000:100000:65536", []Range{{100000, 65536}}},
		"not a prefix":          {"alic:1:2\nalicea:3:4\n10000:5:6\n", nil},
		"file order":            {"alice:300:3\n1000:100:1\nalice:200:2\n", []Range{{300, 3}, {100, 1}, {200, 2}}},
		"the same twice":        {"alice:300:3\n1000:300:3\n", []Range{{300, 3}}},
		"comments and blanks":   {"# alice:1:2\n\n \t\n  alice:5:6  \n#\n", []Range{{5, 6}}},
		"malformed lines":       {"alice\nalice:1\nalice:1:2:3\nalice:x:2\nalice:1:-2\nalice::2\nalice:7:8\n", []Range{{7, 8}}},
		"blanks within":         {"alice: 5 : 6 \r\n", []Range{{5, 6}}},
		"no end of line":        {"alice:5:6", []Range{{5, 6}}},
		"empty range is kept":   {"alice:5:0\n", []Range{{5, 0}}},
		"count is clamped":      {"alice:4294967290:65536\nalice:5:99999999999\n", []Range{{4294967290, 5}, {5, math.MaxUint32 - 5}}},
		"start out of range":    {"alice:4294967295:1\nalice:4294967296:1\n", nil},
		"empty owner is nobody": {":5:6\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			if got := parseSubIDs(tc.text, "1000", "alice"); !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

// Whatever is in the file, a range never passes the last id, and the planner
// gives a map that the kernel can take or an error.
func FuzzSubIDs(f *testing.F) {
	f.Add("alice:100000:65536\n")
	f.Add("1000:4294967294:1\nalice:5:99999999999\n#x\n:::\n")
	f.Add("alice:1:1\nalice:1:0\nalice:0:2000\n")
	f.Fuzz(func(t *testing.T, text string) {
		ranges := parseSubIDs(text, "1000", "alice")
		for _, r := range ranges {
			if r.end() > math.MaxUint32 {
				t.Fatalf("%q: range %v passes the last id", text, r)
			}
		}
		m, err := PlanMap(Identity{UID: 1000, GID: 1000, User: "alice"}, SubIDs{UIDs: ranges, GIDs: ranges})
		if err != nil {
			return
		}
		if back, err := parseMap(formatMap(m.UIDs)); err != nil || !reflect.DeepEqual(back, m.UIDs) {
			t.Fatalf("%q: %v does not survive its own text: %v, %v", text, m.UIDs, back, err)
		}
		next := uint64(0)
		for i, e := range m.UIDs {
			if uint64(e.Inside) != next || e.Size == 0 || next+uint64(e.Size) > math.MaxUint32 {
				t.Fatalf("%q: gap, overlap or end in %v", text, m.UIDs)
			}
			next += uint64(e.Size)
			for _, o := range m.UIDs[:i] {
				if (Range{e.Outside, e.Size}).overlaps(Range{o.Outside, o.Size}) {
					t.Fatalf("%q: %v and %v overlap", text, e, o)
				}
			}
		}
	})
}

func TestParseGetsubids(t *testing.T) {
	got := parseGetsubids("0: alice 100000 65536\n1: alice 300000 10\nError fetching ranges\n2: short 1\n")
	if want := []Range{{100000, 65536}, {300000, 10}}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestSubIDSource(t *testing.T) {
	for text, want := range map[string]string{
		"":                                 "",
		"passwd: files\nsubid: sss\n":      "sss",
		"# subid: sss\n":                   "",
		"  subid:\tfiles # sss\n":          "files",
		"subid:\n":                         "",
		"mysubid: sss\nsubid: sss files\n": "sss",
	} {
		if got := subIDSource(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestLoginName(t *testing.T) {
	passwd := "root:x:0:0::/root:/bin/sh\n+@nis\nalice:x:1000:1000::/home/alice:/bin/sh\nbob:x:1001:1001::/:/bin/sh\n"
	for name, tc := range map[string]struct {
		uid  uint32
		env  []string
		want string
	}{
		"passwd wins":                {1000, []string{"bob"}, "alice"},
		"unknown to passwd":          {5000, []string{"carol"}, "carol"},
		"su left another's name":     {5000, []string{"alice"}, ""},
		"USER lies, LOGNAME not":     {5000, []string{"bob", "carol"}, "carol"},
		"first line of passwd":       {5000, []string{"root"}, ""},
		"nothing known":              {5000, []string{"", ""}, ""},
		"an option is not a name":    {5000, []string{"-g"}, ""},
		"nor is what a shell splits": {5000, []string{"a b", "a:b", "a'b"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := loginName(passwd, tc.uid, tc.env...); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// fakeHost is a Host whose root has the given files; an executable one has a
// first line "#!".
func fakeHost(t *testing.T, files map[string]string) Host {
	t.Helper()
	h := Host{Root: t.TempDir()}
	for name, text := range files {
		p := filepath.Join(h.Root, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		mode := os.FileMode(0o644)
		if strings.HasPrefix(text, "#!") {
			mode = 0o755
		}
		if err := os.WriteFile(p, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

func TestSubIDSources(t *testing.T) {
	const getsubids = "#!/bin/sh\n[ \"$1\" = -g ] && { [ \"$2\" = carol ] && echo '0: carol 900000 9'; exit; }\n[ \"$1\" = carol ] && echo '0: carol 800000 8' && exit\nexit 1\n"
	carol := Identity{UID: 5000, GID: 5000, User: "carol"}
	ldap := SubIDs{[]Range{{800000, 8}}, []Range{{900000, 9}}, "getsubids"}
	local := SubIDs{[]Range{{1, 2}}, []Range{{3, 4}}, "files"}
	files := map[string]string{"/etc/subuid": "carol:1:2\n", "/etc/subgid": "5000:3:4\n"}
	for name, tc := range map[string]struct {
		files map[string]string
		id    Identity
		want  SubIDs
	}{
		"files":                      {files, carol, local},
		"files before getsubids":     {with(files, "/usr/bin/getsubids", getsubids), carol, local},
		"nsswitch says so":           {with(files, "/usr/bin/getsubids", getsubids, "/etc/nsswitch.conf", "subid: sss\n"), carol, ldap},
		"nsswitch says files":        {with(files, "/usr/bin/getsubids", getsubids, "/etc/nsswitch.conf", "subid: files\n"), carol, local},
		"nothing in the files":       {map[string]string{"/usr/bin/getsubids": getsubids}, carol, ldap},
		"getsubids has nothing":      {map[string]string{"/usr/bin/getsubids": getsubids}, Identity{UID: 5001, User: "dave"}, SubIDs{Source: "getsubids"}},
		"getsubids by number":        {map[string]string{"/usr/bin/getsubids": "#!/bin/sh\necho 0: x $# ${1#-g}${2}\n"}, Identity{UID: 5001}, SubIDs{[]Range{{1, 5001}}, []Range{{2, 5001}}, "getsubids"}},
		"nsswitch without getsubids": {with(files, "/etc/nsswitch.conf", "subid: sss\n"), carol, local},
		"no files at all":            {nil, carol, SubIDs{Source: "files"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := fakeHost(t, tc.files).subIDs(tc.id)
			if err != nil || !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got %+v, %v; want %+v", got, err, tc.want)
			}
		})
	}
}

func with(m map[string]string, kv ...string) map[string]string {
	c := maps.Clone(m)
	for i := 0; i < len(kv); i += 2 {
		c[kv[i]] = kv[i+1]
	}
	return c
}

func TestFind(t *testing.T) {
	h := fakeHost(t, map[string]string{
		"/usr/bin/newuidmap": "#!", "/run/wrappers/bin/newuidmap": "#!x", "/opt/newuidmap": "not executable",
		"/usr/bin/newgidmap": "#! /bin/sh",
	})
	h.Env = []string{"PATH=relative:/opt:/run/wrappers/bin:/usr/bin"}
	if got := h.find("newuidmap"); got != "/run/wrappers/bin/newuidmap" {
		t.Errorf("newuidmap: got %q, want the one that PATH has first", got)
	}
	h.Env = nil
	if got := h.find("newgidmap"); got != "/usr/bin/newgidmap" {
		t.Errorf("without PATH: got %q", got)
	}
	if got := h.find("nothing"); got != "" {
		t.Errorf("got %q", got)
	}
}

func TestFreeRange(t *testing.T) {
	all := []Extent{{0, 0, math.MaxUint32}}
	container := []Extent{{0, 1000, 1}, {1, 100000, 65536}}
	id := Identity{UID: 1000, GID: 1000}
	for name, tc := range map[string]struct {
		files map[string]string
		m     []Extent
		want  Range
	}{
		"nobody has any":        {nil, all, Range{100000, 65536}},
		"after the others":      {map[string]string{"/etc/subuid": "a:100000:65536\n", "/etc/subgid": "b:165536:65536\n"}, all, Range{231072, 65536}},
		"first gap that fits":   {map[string]string{"/etc/subuid": "a:100000:10\nb:120000:10\nc:300000:10\n"}, all, Range{120010, 65536}},
		"unsorted, overlapping": {map[string]string{"/etc/subuid": "c:200000:100\na:100000:65536\nb:150000:50100\n"}, all, Range{200100, 65536}},
		"exactly in the gap":    {map[string]string{"/etc/subuid": "a:165536:10\n"}, all, Range{100000, 65536}},
		"login.defs":            {map[string]string{"/etc/login.defs": "# SUB_UID_MIN 5\nSUB_UID_MIN\t 500000\nSUB_GID_MIN 400000\nSUB_UID_COUNT 1000\nSUB_GID_COUNT 2000\n"}, all, Range{500000, 2000}},
		"none left":             {map[string]string{"/etc/login.defs": "SUB_UID_MAX 165534\n"}, all, Range{}},
		"in a container":        {nil, container, Range{1001, 64536}},
		"the rest of it":        {map[string]string{"/etc/subuid": "a:1001:9000\n"}, container, Range{10001, 55536}},
		"single id":             {nil, container[:1], Range{}},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := fakeHost(t, tc.files).freeRange(id, Map{tc.m, tc.m})
			if got != tc.want || ok != (tc.want.Count > 0) {
				t.Errorf("got %v, %v; want %v", got, ok, tc.want)
			}
		})
	}
}

func TestMoreIDs(t *testing.T) {
	files := map[string]string{
		"/proc/self/uid_map": "0 1000 1\n1 100000 65536\n", "/proc/self/gid_map": "0 1000 1\n1 100000 65536\n",
		"/etc/passwd": "kim:x:1000:1000::/:/bin/sh\n", "/etc/subuid": "kim:100000:65536\nlee:165536:65536\n",
	}
	for name, tc := range map[string]struct {
		missing uint32
		want    string
	}{
		"just beyond":    {65537, "sudo usermod --add-subuids 231072-296607 --add-subgids 231072-296607 kim"},
		"a unit further": {65537 + 65536, "sudo usermod --add-subuids 231072-362143 --add-subgids 231072-362143 kim"},
		"out of reach":   {4_000_000_000, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := fakeHost(t, files).moreIDs(tc.missing)
			if err != nil || got != tc.want {
				t.Errorf("got %q, %v; want %q", got, err, tc.want)
			}
		})
	}
}

func TestToolErrors(t *testing.T) {
	tl, err := startTool("/bin/sh", "-c", "echo no >&2; exit 3")
	if err != nil {
		t.Fatal(err)
	}
	_, err = tl.wait()
	if e, ok := errors.AsType[*toolError](err); !ok || e.output != "no" || e.status != "exit status 3" {
		t.Errorf("got %v", err)
	}
	tl, err = startTool("/bin/sh", "-c", "exec sleep 1000")
	if err != nil {
		t.Fatal(err)
	}
	if err := tl.stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
}
