package registry_test

import (
	"context"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nook-containers/nook/pkg/config/regconf"
	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/registry"
)

// entry is the password of user u.
func entry(password string) regconf.AuthEntry {
	return regconf.AuthEntry{Auth: base64.StdEncoding.EncodeToString([]byte("u:" + password))}
}

func TestLookup(t *testing.T) {
	files := []regconf.AuthFile{
		{Path: "/one", Auths: map[string]regconf.AuthEntry{
			"quay.io": entry("host"), "quay.io/ns": entry("ns"), "quay.io/ns/app": entry("repo"),
			"https://reg.example:5000/v1/": entry("url"), "empty.example": {},
		}, CredHelpers: map[string]string{"helped.example": "h", "helped.example/ns": "hns"}},
		{Path: "/two", Auths: map[string]regconf.AuthEntry{
			"https://index.docker.io/v1/": entry("hub"), "quay.io": entry("shadowed"), "empty.example": entry("second"),
			"plain.example": {Username: "x", Password: "y"},
		}},
		{Path: "/three", CredsStore: "store", Auths: map[string]regconf.AuthEntry{"inline.example": entry("inline")}},
	}
	helper := func(_ context.Context, name, server string) (string, string, error) {
		switch name + " " + server {
		case "h helped.example":
			return "hu", "hp", nil
		case "hns helped.example/ns":
			return "<token>", "refresh", nil
		case "store stored.example":
			return "su", "sp", nil
		case "store broken.example":
			return "", "", errors.New("keyring is locked")
		}
		return "", "", registry.ErrNoCredentials
	}
	k := registry.Keychain{Files: files, Helper: helper}
	for in, want := range map[string]string{
		"quay.io/x":             `u:host /one (entry "quay.io")`,
		"quay.io/ns/x":          `u:ns /one (entry "quay.io/ns")`,
		"quay.io/ns/app:1":      `u:repo /one (entry "quay.io/ns/app")`,
		"quay.io/ns/app/sub":    `u:repo /one (entry "quay.io/ns/app")`,
		"quay.io/nsx/app":       `u:host /one (entry "quay.io")`,
		"reg.example:5000/x":    `u:url /one (entry "https://reg.example:5000/v1/")`,
		"reg.example/x":         ":",
		"docker.io/busybox":     `u:hub /two (entry "https://index.docker.io/v1/")`,
		"empty.example/x":       `u:second /two (entry "empty.example")`,
		"plain.example/x":       `x:y /two (entry "plain.example")`,
		"helped.example/x":      "hu:hp docker-credential-h",
		"helped.example/ns/app": "idt=refresh docker-credential-hns",
		"stored.example/x":      "su:sp docker-credential-store",
		"inline.example/x":      `u:inline /three (entry "inline.example")`,
		"unknown.example/x":     ":",
	} {
		c, err := k.Lookup(t.Context(), registry.Endpoint{Ref: mustRef(t, in)})
		got := strings.TrimSpace(c.Username + ":" + c.Password + " " + c.Source)
		if c.IdentityToken != "" {
			got = "idt=" + c.IdentityToken + " " + c.Source
		}
		if err != nil || got != want {
			t.Errorf("%s: got %q, %v; want %q", in, got, err, want)
		}
	}
	_, err := k.Lookup(t.Context(), registry.Endpoint{Ref: mustRef(t, "broken.example/x")})
	if err == nil || !strings.Contains(err.Error(), "keyring is locked") || !strings.Contains(problem.HintOf(err), "docker-credential-store get") {
		t.Errorf("broken helper: %v, hint %q", err, problem.HintOf(err))
	}
}

func TestLookupHelperOrder(t *testing.T) {
	k := registry.Keychain{
		Files:   []regconf.AuthFile{{Path: "/f", Auths: map[string]regconf.AuthEntry{"a.example": entry("file")}}},
		Helpers: []string{"first", regconf.AuthFiles},
		Helper: func(_ context.Context, _, server string) (string, string, error) {
			if server == "b.example" {
				return "u", "helper", nil
			}
			return "", "", registry.ErrNoCredentials
		},
	}
	for in, want := range map[string]string{"a.example/x": "file", "b.example/x": "helper"} {
		if c, err := k.Lookup(t.Context(), registry.Endpoint{Ref: mustRef(t, in)}); err != nil || c.Password != want {
			t.Errorf("%s: %q, %v", in, c.Password, err)
		}
	}
}

func TestBrokenEntriesNameTheFile(t *testing.T) {
	for _, auth := range []string{"!!!", base64.StdEncoding.EncodeToString([]byte("nocolon"))} {
		k := registry.Keychain{Files: []regconf.AuthFile{{Path: "/the/file", Auths: map[string]regconf.AuthEntry{"a.example": {Auth: auth}}}}}
		_, err := k.Lookup(t.Context(), registry.Endpoint{Ref: mustRef(t, "a.example/x")})
		if err == nil || !strings.Contains(err.Error(), "/the/file") || strings.Contains(err.Error(), "nocolon") {
			t.Errorf("%q: %v", auth, err)
		}
	}
}

func TestParseCredentials(t *testing.T) {
	if c, err := registry.ParseCredentials("u:p:w"); err != nil || c.Username != "u" || c.Password != "p:w" {
		t.Errorf("%+v, %v", c, err)
	}
	for _, s := range []string{"", "u", ":p", "u:"} {
		if _, err := registry.ParseCredentials(s); err == nil {
			t.Errorf("%q was accepted", s)
		}
	}
}

// writeHelper puts docker-credential-NAME on PATH.
func writeHelper(t *testing.T, name, script string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "docker-credential-"+name), []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

func TestRunHelper(t *testing.T) {
	writeHelper(t, "ok", `read -r s; [ "$1" = get ] && printf '{"ServerURL":"%s","Username":"u","Secret":"for %s"}' "$s" "$s"`)
	writeHelper(t, "none", "echo credentials not found in native keychain; exit 1")
	writeHelper(t, "bad", "echo keyring locked; exit 2")
	writeHelper(t, "garbage", "echo secret-but-not-json")
	user, secret, err := registry.RunHelper(t.Context(), "ok", "quay.io")
	if err != nil || user != "u" || secret != "for quay.io" {
		t.Errorf("%q %q %v", user, secret, err)
	}
	if _, _, err := registry.RunHelper(t.Context(), "none", "x"); !errors.Is(err, registry.ErrNoCredentials) {
		t.Errorf("none: %v", err)
	}
	if _, _, err := registry.RunHelper(t.Context(), "absent", "x"); !errors.Is(err, registry.ErrNoHelper) {
		t.Errorf("absent: %v", err)
	}
	if _, _, err := registry.RunHelper(t.Context(), "bad", "x"); err == nil || !strings.Contains(err.Error(), "keyring locked") {
		t.Errorf("bad: %v", err)
	}
	if _, _, err := registry.RunHelper(t.Context(), "garbage", "x"); err == nil || strings.Contains(err.Error(), "secret-but") {
		t.Errorf("garbage: %v", err)
	}
	if _, _, err := registry.RunHelper(t.Context(), "../ok", "x"); err == nil || errors.Is(err, registry.ErrNoHelper) {
		t.Errorf("a path as a name: %v", err)
	}
}
