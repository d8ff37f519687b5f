package container

import (
	"strings"
	"testing"

	"github.com/nook-containers/nook/libpod/ocispec"
	"github.com/nook-containers/nook/libpod/spec"
)

func TestAddAccounts(t *testing.T) {
	a := accounts{passwd: []byte("root:x:0:0::/root:/bin/sh\nweb:x:33:33::/:/bin/sh"), group: []byte("root:x:0:\n")}
	in := func(uid, gid uint32, s spec.Session) ocispec.Input {
		return ocispec.Input{User: ocispec.User{UID: uid, GID: gid, Home: "/h"}, Spec: spec.Container{Session: s}}
	}
	base := string(a.passwd) + "\n"
	for name, tc := range map[string]struct {
		in            ocispec.Input
		passwd, group string // "" for the image's own
	}{
		"root is known":          {in(0, 0, spec.Session{}), "", ""},
		"known by its number":    {in(33, 33, spec.Session{}), "", ""},
		"unknown":                {in(7, 8, spec.Session{}), base + "user7:*:7:8::/h:/bin/sh\n", ""},
		"unknown, not wanted":    {in(7, 8, spec.Session{NoPasswd: true, GroupEntry: "x:x:$GID:"}), "", ""},
		"templates":              {in(7, 8, spec.Session{PasswdEntry: "$USERNAME:$UID:$GID:$HOME", GroupEntry: "g:x:$GID:$USERLIST"}), base + "user7:7:8:/h\n", "root:x:0:\ng:x:8:user7\n"},
		"user of the host":       {in(7, 0, spec.Session{HostUsers: []string{"me:*:7:7:::"}}), base + "me:*:7:7:::\n", ""},
		"names of the image win": {in(0, 0, spec.Session{HostUsers: []string{"web:*:7:7:::", "me:*:33:7:::"}}), "", ""},
	} {
		passwd, group := addAccounts(tc.in, a)
		if string(passwd) != tc.passwd || string(group) != tc.group {
			t.Errorf("%s: passwd %q, group %q; want %q, %q", name, passwd, group, tc.passwd, tc.group)
		}
	}
}

func TestHostsFile(t *testing.T) {
	in := ocispec.Input{ID: strings.Repeat("a", 64)}
	in.Spec.Hosts.Add = []string{"one two:192.0.2.1", "v6:2001:db8::1"}
	const added = "192.0.2.1\tone two\n2001:db8::1\tv6\n"
	got, err := hostsFile(in, accounts{}, netView{})
	if err != nil || !strings.HasPrefix(string(got), added+"127.0.0.1\tlocalhost") || !strings.HasSuffix(string(got), "\taaaaaaaaaaaa\n") {
		t.Errorf("default: %q, %v", got, err)
	}
	in.Spec.Hosts.HostsFile = spec.HostsImage
	if got, err := hostsFile(in, accounts{hosts: []byte("image")}, netView{}); err != nil || string(got) != added+"image\n" {
		t.Errorf("image: %q, %v", got, err)
	}
	in.Spec.Hosts.HostsFile = "/nonexistent"
	if _, err := hostsFile(in, accounts{}, netView{}); err == nil {
		t.Error("a missing file was taken")
	}
}

func TestZoneFile(t *testing.T) {
	for name, want := range map[string]string{"local": "/etc/localtime", "Europe/Berlin": "/usr/share/zoneinfo/Europe/Berlin"} {
		if got, err := ZoneFile(name); err != nil || got != want {
			t.Errorf("ZoneFile(%q) = %q, %v; want %q", name, got, err, want)
		}
	}
	for _, bad := range []string{"../passwd", "/etc/passwd", "a/../../b"} {
		if got, err := ZoneFile(bad); err == nil {
			t.Errorf("ZoneFile(%q) = %q, want an error", bad, got)
		}
	}
}
