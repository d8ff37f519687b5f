package container

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/pkg/sys/systest"
)

func TestResolveUser(t *testing.T) {
	acc := accounts{
		passwd: []byte("root:x:0:0::/root:/bin/sh\nweb:x:33:34::/srv:/bin/sh\n4294967296:x:0:0::/:/bin/sh\n2147483648:x:0:0::/:/bin/sh\n"),
		group:  []byte("root:x:0:\nweb:x:34:\nadm:x:4:web,root\n"),
	}
	for who, want := range map[string]string{
		"":         "{UID:0 GID:0 Groups:[0 4] Home:/root}",
		"web":      "{UID:33 GID:34 Groups:[34 4] Home:/srv}",
		"33":       "{UID:33 GID:34 Groups:[34 4] Home:/srv}",
		"web:adm":  "{UID:33 GID:4 Groups:[4] Home:/srv}",
		"1":        "{UID:1 GID:0 Groups:[0] Home:/}", // not 0: CVE-2026-30892
		"1:2":      "{UID:1 GID:2 Groups:[2] Home:/}",
		"1000":     "{UID:1000 GID:0 Groups:[0] Home:/}",
		"65534:65": "{UID:65534 GID:65 Groups:[65] Home:/}",
	} {
		if u, err := resolveUser(who, nil, acc); err != nil || fmt.Sprintf("%+v", u) != want {
			t.Errorf("user %q: %+v, %v; want %s", who, u, err, want)
		}
	}
	// Names that look like numbers too large must not become their root accounts.
	for _, who := range []string{"4294967296", "2147483648", "0:4294967296", "99999999999999999999", "nobody", "web:nobody", "-1"} {
		if u, err := resolveUser(who, nil, acc); err == nil {
			t.Errorf("user %q: %+v, want an error", who, u)
		}
	}
	u, err := resolveUser("web", []string{"7", "adm"}, acc)
	if err != nil || fmt.Sprint(u.Groups) != "[34 4 7]" {
		t.Errorf("added groups: %v, %v", u.Groups, err)
	}
	if _, err := resolveUser("web", []string{"ghosts"}, acc); err == nil {
		t.Error("an unknown group was accepted")
	}
}

// The image's account files are not to be trusted (CVE-2024-9676).
func TestReadInRoot(t *testing.T) {
	systest.SkipUnless(t, sys.Openat2)
	dir, outside := t.TempDir(), t.TempDir()
	write := func(path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(outside, "secret"), "host")
	write(filepath.Join(dir, "inner"), "image")
	for name, target := range map[string]string{"abs": "/inner", "rel": "../../../inner", "out": outside + "/secret"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := sys.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	big, err := os.Create(filepath.Join(dir, "big"))
	if err == nil {
		err = big.Truncate(maxAccountFile + 1)
	}
	if err != nil {
		t.Fatal(err)
	}
	root, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for name, want := range map[string]string{
		"/inner": "image", "/abs": "image", "/rel": "image", "/out": "", "/gone": "",
		"/fifo": "error: not a regular file", "/": "error: not a regular file", "/big": "error: larger than 16 MiB",
	} {
		data, err := readInRoot(root, name)
		got := string(data)
		if err != nil {
			got = "error: " + err.Error()[strings.LastIndex(err.Error(), ": ")+2:]
		}
		if got != want {
			t.Errorf("%s: got %.60q, want %q", name, got, want)
		}
	}
}
