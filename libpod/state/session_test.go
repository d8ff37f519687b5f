package state

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// A session counts while its process lives, however that ended.
func TestSessions(t *testing.T) {
	s := Store{Dir: t.TempDir(), Run: t.TempDir()}
	c := &Container{Config: Config{ID: "c", Name: "c"}, store: s}
	if ids, err := c.Sessions(); err != nil || len(ids) != 0 {
		t.Fatalf("without any: %q, %v", ids, err)
	}
	kill := monitor(t, s, "c", "c", "STATE_SESSION=one")
	if ids, err := c.Sessions(); err != nil || !slices.Equal(ids, []string{"one"}) {
		t.Errorf("alive: %q, %v", ids, err)
	}
	kill()
	if ids, err := c.Sessions(); err != nil || len(ids) != 0 {
		t.Errorf("killed: %q, %v", ids, err)
	}
	left := filepath.Join(c.RunDir(), "exec", "one.json")
	if _, err := os.Stat(left); err != nil {
		t.Fatal("the test is void: a killed process tidied up: ", err)
	}
	two, err := c.HoldSession(Session{ID: "two", Command: []string{"sh"}, Started: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); err == nil {
		t.Error("the next session left what the killed one did")
	}
	if err := two.Close(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(filepath.Dir(left)); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if err := (*HeldSession)(nil).Close(); err != nil {
		t.Error(err)
	}
}
