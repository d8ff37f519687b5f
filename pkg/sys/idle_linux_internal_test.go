package sys

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestParseMapping(t *testing.T) {
	for _, c := range []struct {
		line string
		a    addresses
		m    mapping
		ok   bool
	}{
		{"00400000-0048c000 r-xp 00000000 fe:00 1234   /usr/bin/nook (deleted)", addresses{0x400000, 0x48c000}, mapping{code: true, inode: 1234}, true},
		{"0057f000-0058a000 rw-p 0017f000 fe:00 1234   /usr/bin/nook", addresses{0x57f000, 0x58a000}, mapping{written: true, inode: 1234}, true},
		{"c000000000-c000400000 rw-p 00000000 00:00 0 ", addresses{0xc000000000, 0xc000400000}, mapping{written: true}, true},
		{"7ffd9ad64000-7ffd9ad85000 rw-p 00000000 00:00 0    [stack]", addresses{0x7ffd9ad64000, 0x7ffd9ad85000}, mapping{written: true}, true},
		{"", addresses{}, mapping{}, false},
		{"00400000 r-xp", addresses{}, mapping{}, false},
		{"00400000-00400000 r-xp", addresses{}, mapping{}, false},
	} {
		a, m, ok := parseMapping([]byte(c.line))
		if ok != c.ok || ok && (a != c.a || m != c.m) {
			t.Errorf("%q: %x %+v %v, want %x %+v %v", c.line, a, m, ok, c.a, c.m, c.ok)
		}
	}
}

// What mapped finds, reading little by little, is what the whole list has.
func TestProgramPages(t *testing.T) {
	got := programPages()
	all, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	linked := strings.Contains(string(all), "/ld-")
	want := 0
	for line := range strings.Lines(string(all)) {
		if strings.Contains(line, program) && (strings.Contains(line, " r-x") || strings.Contains(line, " r--") && !linked) {
			want++
		}
	}
	if len(got) != want || want < 1 {
		t.Errorf("%d ranges %x of the program's file, want %d of\n%s", len(got), got, want, all)
	}
}

// residentText is how much of the program's file is mapped without being written, in KiB.
func residentText(t *testing.T) int {
	t.Helper()
	list, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	total, mine := 0, false
	for line := range strings.Lines(string(list)) {
		f := strings.Fields(line)
		if strings.Contains(f[0], "-") {
			mine = strings.Contains(line, "/") && !strings.Contains(f[1], "w")
		}
		if mine && f[0] == "Rss:" {
			n := 0
			for _, d := range f[1] {
				n = n*10 + int(d-'0')
			}
			total += n
		}
	}
	return total
}

// The pages that a buffer has for itself are dropped, and nothing beside them.
func TestDropContents(t *testing.T) {
	page := os.Getpagesize()
	all := make([]byte, 8*page)
	for i := range all {
		all[i] = 1
	}
	DropContents(all[:0])
	DropContents(all[page/2 : page/2+page/4])
	DropContents(all[page/2 : 6*page-page/2])
	zeros := 0
	for i, b := range all {
		if b == 0 {
			zeros++
		}
		if b == 0 && (i < page/2 || i >= 6*page-page/2) {
			t.Fatalf("byte %d is another's, and gone", i)
		}
	}
	if zeros < 4*page || zeros%page != 0 {
		t.Errorf("%d bytes are gone, want at least 4 pages", zeros)
	}
}

// After a rest, what is mapped is what it takes to wait, and to look.
func TestRester(t *testing.T) {
	r := NewRester()
	defer r.Now() // it bears that
	defer r.End()
	before := residentText(t)
	for range 100 {
		r.Now()
		time.Sleep(time.Millisecond)
		if residentText(t) < before {
			return
		}
	}
	t.Errorf("%d KiB of the program are mapped, as before", before)
}
