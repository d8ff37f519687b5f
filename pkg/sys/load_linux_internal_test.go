package sys

import (
	"os"
	"testing"
	"time"
)

func TestRunnable(t *testing.T) {
	for text, want := range map[string]int{"0.20 0.18 0.12 1/80 11206\n": 1, "12.00 3.00 1.00 37/512 7": 37} {
		if got, ok := runnable([]byte(text)); !ok || got != want {
			t.Errorf("%q: %d, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "1 2 3", "1 2 3 x/4 5"} {
		if got, ok := runnable([]byte(text)); ok {
			t.Errorf("%q: %d", text, got)
		}
	}
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		if n, ok := runnable(text); !ok || n < 1 {
			t.Errorf("the kernel's %q: %d, %v", text, n, ok)
		}
	}
}

// Each of three things ends the wait, and none of them is late by another's measure.
func TestAwaitCalm(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	always := func() bool { return true }

	left := 3
	awaitCalm(func() bool { left--; return left > 0 }, time.Hour, []*os.File{r})
	if left != 0 {
		t.Errorf("calm was there, and it was looked for %d times less", left)
	}
	began := time.Now()
	awaitCalm(always, 2*calm, []*os.File{r})
	if took := time.Since(began); took < 2*calm {
		t.Errorf("gave up after %s", took)
	}
	if _, err := w.WriteString("x"); err != nil {
		t.Fatal(err)
	}
	awaitCalm(always, time.Hour, []*os.File{quietFile(t), r}) // or the test's own time is over
	if _, err := r.Read(make([]byte, 1)); err != nil {
		t.Error(err)
	}
	w.Close()
	awaitCalm(always, time.Hour, []*os.File{r})
	r.Close()
	awaitCalm(always, time.Hour, []*os.File{r})
}

// quietFile is a file that is never ready: the reading end of a pipe that is kept open.
func quietFile(t *testing.T) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r
}
