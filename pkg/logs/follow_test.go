package logs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// follow collects what a reader that follows gets until the log ends.
func follow(t *testing.T, r *Reader) <-chan []string {
	t.Helper()
	done := make(chan []string, 1)
	go func() {
		lines := []string{}
		defer func() { done <- lines }()
		for {
			lines = append(lines, drain(t, r)...)
			err := r.Wait(t.Context())
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				t.Error(err)
				return
			}
		}
	}()
	return done
}

func numbered100(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("line %d", i)
	}
	return all
}

// A reader that follows gets every line once, whatever is rotated meanwhile.
func TestFollowAcrossRotation(t *testing.T) {
	for _, c := range []Config{
		{Driver: K8sFile, MaxSize: 20_000, MaxFiles: 10_000},
		{Driver: JSONFile, MaxSize: 3_000, MaxFiles: 10_000},
		{Driver: K8sFile, MaxSize: Unlimited},
	} {
		for _, withWatch := range []bool{true, false} {
			c.Path = filepath.Join(t.TempDir(), "ctr.log")
			r, err := OpenReader(c.Path, ReadOptions{Tail: All, Follow: true}) // before there is a log
			if err != nil {
				t.Fatal(err)
			}
			if !withWatch {
				closeIt(t, r.watch)
				r.watch = nil
			}
			got := follow(t, r)
			w := open(t, c)
			want := numbered100(20_000)
			for chunk := range slices.Chunk(want, 7) {
				write(t, w, Stdout, strings.Join(chunk, "\n")+"\n")
			}
			closeIt(t, w)
			r.End()
			if lines := <-got; !slices.Equal(lines, want) || r.Missed() != 0 {
				t.Errorf("%+v, watch %v: got %d lines of %d, missed %d", c, withWatch, len(lines), len(want), r.Missed())
			}
			closeIt(t, r)
		}
	}
}

// With few files the reader may be outrun. Then it says so, skips whole lines
// only, and repeats none.
func TestFollowerOutrun(t *testing.T) {
	for _, files := range []int{1, 2, 3} {
		path := filepath.Join(t.TempDir(), "ctr.log")
		w := open(t, Config{Driver: K8sFile, Path: path, MaxSize: 1000, MaxFiles: files})
		write(t, w, Stdout, "line 0\n")
		r, err := OpenReader(path, ReadOptions{Tail: All, Follow: true})
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range numbered100(3000)[1:] { // nobody reads
			write(t, w, Stdout, line+"\n")
		}
		closeIt(t, w)
		r.End()
		lines := <-follow(t, r)
		if lines[0] != "line 0" || lines[len(lines)-1] != "line 2999" || r.Missed() == 0 {
			t.Errorf("%d files: first %s, last %s, missed %d files", files, lines[0], lines[len(lines)-1], r.Missed())
		}
		last := -1
		for _, line := range lines {
			n := -1
			if _, err := fmt.Sscanf(line, "line %d", &n); err != nil || n <= last {
				t.Fatalf("%d files: %q after %d", files, line, last)
			}
			last = n
		}
		closeIt(t, r)
	}
}

// A reader that has fallen behind by a few files, but reads, loses nothing:
// it opens them before they are deleted.
func TestSlowFollower(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ctr.log")
	w := open(t, Config{Driver: K8sFile, Path: path, MaxSize: 5_000, MaxFiles: 1})
	r, err := OpenReader(path, ReadOptions{Tail: All, Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	want := numbered100(1000)
	for i, line := range want {
		write(t, w, Stdout, line+"\n")
		if i%20 == 0 {
			if err := r.poll(); err != nil { // what each of its reads does first
				t.Fatal(err)
			}
		}
	}
	closeIt(t, w)
	r.End()
	if lines := <-follow(t, r); !slices.Equal(lines, want) {
		t.Errorf("%d lines of %d, missed %d files", len(lines), len(want), r.Missed())
	}
	if r.Missed() != 0 {
		t.Errorf("missed %d", r.Missed())
	}
}

func TestFollowEndsAtUntilAndCancel(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ctr.log")
	r, err := OpenReader(path, ReadOptions{Tail: All, Follow: true, Until: time.Now().Add(20 * time.Millisecond)})
	if err != nil {
		t.Fatal(err)
	}
	if got := <-follow(t, r); len(got) > 0 { // hangs unless the clock ends it
		t.Errorf("%q", got)
	}
	closeIt(t, r)
	r, err = OpenReader(path, ReadOptions{Tail: All, Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	go cancel(enough)
	if err := r.Wait(ctx); !errors.Is(err, enough) {
		t.Errorf("Wait: %v", err)
	}
}

// A container that is removed takes its directory along; its last lines still
// come.
func TestFollowRemoved(t *testing.T) {
	base := t.TempDir()
	if err := os.Mkdir(base+"/ctr", 0o700); err != nil {
		t.Fatal(err)
	}
	w := open(t, Config{Driver: K8sFile, Path: base + "/ctr/ctr.log", MaxSize: 1000, MaxFiles: 100})
	r, err := OpenReader(base+"/ctr/ctr.log", ReadOptions{Tail: All, Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := os.Rename(base+"/ctr", base+"/trash"); err != nil {
		t.Fatal(err)
	}
	want := numbered100(200)
	for _, l := range want {
		write(t, w, Stdout, l+"\n")
	}
	closeIt(t, w)
	if err := r.poll(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(base + "/trash"); err != nil {
		t.Fatal(err)
	}
	r.End()
	if got := <-follow(t, r); !slices.Equal(got, want) {
		t.Errorf("%d lines of %d; missed %d", len(got), len(want), r.Missed())
	}
}

func TestEmptiedLogIsFollowedOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ctr.log")
	w := open(t, Config{Driver: K8sFile, Path: path})
	write(t, w, Stdout, "old old old\n")
	r, err := OpenReader(path, ReadOptions{Tail: All, Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	drain(t, r)
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	write(t, w, Stdout, "new\n")
	closeIt(t, w)
	if got := drain(t, r); !slices.Equal(got, []string{"new"}) {
		t.Errorf("%q", got)
	}
}
