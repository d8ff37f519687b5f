package secret_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/nook-containers/nook/libpod/secret"
)

func create(t *testing.T, s secret.Store, name, data string) *secret.Secret {
	t.Helper()
	sec := &secret.Secret{Name: name, Driver: secret.DriverFile}
	if err := s.Create(t.Context(), sec, []byte(data), false); err != nil {
		t.Fatal(err)
	}
	return sec
}

func data(t *testing.T, s secret.Store, name string) string {
	t.Helper()
	sec, err := s.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Data(t.Context(), sec)
	if err != nil {
		t.Fatal(err)
	}
	return string(got)
}

func TestFileIsPrivateAndComesBack(t *testing.T) {
	s := secret.Store{Dir: filepath.Join(t.TempDir(), "secrets")}
	sec := create(t, s, "db.password", "a\x00b\n")
	if got := data(t, s, "db.password"); got != "a\x00b\n" {
		t.Errorf("got %q", got)
	}
	if got := data(t, s, sec.ID[:10]); got != "a\x00b\n" {
		t.Errorf("by id: %q", got)
	}
	for path, want := range map[string]os.FileMode{s.Dir: 0o700 | os.ModeDir, filepath.Join(s.Dir, "db.password.json"): 0o600} {
		if fi, err := os.Stat(path); err != nil || fi.Mode() != want {
			t.Errorf("%s: mode %v, %v; want %v", path, fi.Mode(), err, want)
		}
	}
	if p := sec.Public(); p.Data != nil {
		t.Error("Public shows the content")
	}
	if err := s.Remove(t.Context(), sec); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Lookup("db.password"); !errors.Is(err, secret.ErrNotFound) {
		t.Errorf("after Remove: %v", err)
	}
	if left, _ := os.ReadDir(s.Dir); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestNameIsTakenOnce(t *testing.T) {
	s := secret.Store{Dir: t.TempDir()}
	var wg sync.WaitGroup
	won := make(chan string, 8)
	for i := range 8 {
		wg.Go(func() {
			body := strings.Repeat("x", i+1)
			err := s.Create(t.Context(), &secret.Secret{Name: "one", Driver: secret.DriverFile}, []byte(body), false)
			if err == nil {
				won <- body
			} else if !errors.Is(err, secret.ErrExists) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(won) != 1 {
		t.Fatalf("%d makers won", len(won))
	}
	if got, want := data(t, s, "one"), <-won; got != want {
		t.Errorf("got %q, want the winner's %q", got, want)
	}
	old, err := s.Lookup("one")
	if err != nil {
		t.Fatal(err)
	}
	again := &secret.Secret{Name: "one", Driver: secret.DriverFile}
	if err := s.Create(t.Context(), again, []byte("new"), true); err != nil {
		t.Fatal(err)
	}
	if again.ID != old.ID || !again.Created.Equal(old.Created) || data(t, s, "one") != "new" {
		t.Errorf("replaced: %+v, was %+v", again, old)
	}
}

func TestRefuses(t *testing.T) {
	s := secret.Store{Dir: t.TempDir()}
	for _, name := range []string{"", "../x", "a/b", "a,b", "a=b", ".hidden", "n\x00", strings.Repeat("n", 300)} {
		if err := s.Create(t.Context(), &secret.Secret{Name: name, Driver: secret.DriverFile}, []byte("x"), false); err == nil {
			t.Errorf("name %q was taken", name)
		}
	}
	for _, sec := range []secret.Secret{
		{Name: "a", Driver: "vault"},
		{Name: "a", Driver: secret.DriverFile, Options: map[string]string{"path": "/x"}},
		{Name: "a", Driver: secret.DriverShell, Options: map[string]string{"store": "x", "lookup": "x"}},
		{Name: "a", Driver: secret.DriverEnv},
	} {
		if err := s.Create(t.Context(), &sec, []byte("x"), false); err == nil {
			t.Errorf("%+v was taken", sec)
		}
	}
	for _, size := range []int{0, secret.MaxSize + 1} {
		if err := s.Create(t.Context(), &secret.Secret{Name: "a", Driver: secret.DriverFile}, make([]byte, size), false); err == nil {
			t.Errorf("%d bytes were taken", size)
		}
	}
	if left, _ := s.List(); len(left) > 0 {
		t.Errorf("made: %+v", left)
	}
}

func TestEnvDriver(t *testing.T) {
	s := secret.Store{Dir: t.TempDir(), Environ: []string{"TOKEN=one=1"}}
	sec := &secret.Secret{Name: "t", Driver: secret.DriverEnv, Options: map[string]string{"name": "TOKEN"}}
	if err := s.Create(t.Context(), sec, nil, false); err != nil {
		t.Fatal(err)
	}
	if got := data(t, s, "t"); got != "one=1" {
		t.Errorf("got %q", got)
	}
	s.Environ = []string{"TOKEN=two"}
	if got, err := s.Session(t.Context(), []string{"t"}); err != nil || string(got["t"]) != "two" {
		t.Errorf("got %q, %v", got, err)
	}
	s.Environ = []string{"OTHER=x"}
	if _, err := s.Data(t.Context(), sec); err == nil || !strings.Contains(err.Error(), "TOKEN is not set") {
		t.Errorf("without the variable: %v", err)
	}
	s.Environ = nil
	if _, err := s.Data(t.Context(), sec); !errors.Is(err, secret.ErrSession) {
		t.Errorf("outside the session: %v", err)
	}
}

// The content reaches the commands on standard input and comes back on standard
// output; the file that nook keeps never has it.
func TestShellDriver(t *testing.T) {
	vault := t.TempDir()
	s := secret.Store{Dir: t.TempDir(), Environ: []string{"PATH=/usr/bin:/bin", "VAULT=" + vault}}
	sec := &secret.Secret{Name: "v", Driver: secret.DriverShell, Options: map[string]string{
		"store": `cat >"$VAULT/$SECRET_ID"`, "lookup": `cat "$VAULT/$SECRET_ID"`, "delete": `rm "$VAULT/$SECRET_ID"`,
	}}
	if err := s.Create(t.Context(), sec, []byte("hush\x00"), false); err != nil {
		t.Fatal(err)
	}
	if got := data(t, s, "v"); got != "hush\x00" {
		t.Errorf("got %q", got)
	}
	record, err := os.ReadFile(filepath.Join(s.Dir, "v.json"))
	if err != nil || bytes.Contains(record, []byte("hush")) || bytes.Contains(record, []byte("aHVzaA")) {
		t.Errorf("record %s, %v", record, err)
	}
	if err := s.Remove(t.Context(), sec); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(vault); len(left) > 0 {
		t.Errorf("left in the vault: %v", left)
	}
	sec.Options["lookup"] = "echo no key >&2; exit 3"
	if _, err := s.Data(t.Context(), sec); err == nil || !strings.Contains(err.Error(), "no key") {
		t.Errorf("failing command: %v", err)
	}
}

func TestDamageHidesNothingElse(t *testing.T) {
	s := secret.Store{Dir: t.TempDir()}
	create(t, s, "good", "x")
	if err := os.WriteFile(filepath.Join(s.Dir, "bad.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	all, errs := s.List()
	if len(all) != 1 || len(errs) != 1 || !strings.Contains(errs[0].Error(), "bad.json") {
		t.Errorf("got %v, %v", all, errs)
	}
}
