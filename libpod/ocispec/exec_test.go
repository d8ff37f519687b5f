package ocispec

import (
	"slices"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/nook-containers/nook/libpod/spec"
)

func TestExecProcess(t *testing.T) {
	umask := uint32(0o27)
	base := &specs.Process{
		Args: []string{"server"}, Cwd: "/srv", Env: []string{"PATH=/bin", "A=image", "HOME=/root"}, NoNewPrivileges: true,
		User:     specs.User{UID: 0, GID: 0, AdditionalGids: []uint32{0, 5}, Umask: &umask},
		Rlimits:  []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 1, Hard: 2}},
		Terminal: true, ConsoleSize: &specs.Box{Height: 1, Width: 2},
	}
	in := Input{Spec: spec.Container{CapAdd: []string{"net_admin"}, CapDrop: []string{"chown"}}}
	app := &User{UID: 7, GID: 8, Groups: []uint32{8, 9}, Home: "/home/app"}
	get := func(in Input, x Exec) *specs.Process {
		t.Helper()
		p, err := ExecProcess(base, in, x)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := get(in, Exec{Args: []string{"sh"}})
	if !slices.Equal(p.Args, []string{"sh"}) || p.Cwd != "/srv" || p.Terminal || p.ConsoleSize != nil || !p.NoNewPrivileges ||
		len(p.Rlimits) != 1 || !slices.Equal(p.User.AdditionalGids, []uint32{0, 5}) || !slices.Equal(p.Env, base.Env) {
		t.Errorf("the container's own: %+v", p)
	}
	if !slices.Contains(p.Capabilities.Effective, "CAP_NET_ADMIN") || slices.Contains(p.Capabilities.Bounding, "CAP_CHOWN") || len(p.Capabilities.Inheritable) != 0 {
		t.Errorf("root's capabilities: %+v", p.Capabilities)
	}
	p = get(in, Exec{Args: []string{"sh"}, User: app, WorkDir: "/tmp", TTY: true, Env: []string{"A=mine", "B=new"}})
	if p.User.UID != 7 || p.User.GID != 8 || !slices.Equal(p.User.AdditionalGids, []uint32{8, 9}) || *p.User.Umask != umask || p.Cwd != "/tmp" || !p.Terminal {
		t.Errorf("another user: %+v", p)
	}
	if want := []string{"PATH=/bin", "A=mine", "HOME=/home/app", "TERM=xterm", "B=new"}; !slices.Equal(p.Env, want) {
		t.Errorf("environment %q, want %q", p.Env, want)
	}
	if want := []string{"CAP_NET_ADMIN"}; !slices.Equal(p.Capabilities.Effective, want) || !slices.Equal(p.Capabilities.Ambient, want) {
		t.Errorf("another user's capabilities: %+v", p.Capabilities)
	}
	if base.Args[0] != "server" || base.User.UID != 0 || base.Env[1] != "A=image" {
		t.Errorf("the container's process was changed: %+v", base)
	}
	in.Image.Env = []string{"HOME=/root"}
	if p = get(in, Exec{User: app}); !slices.Contains(p.Env, "HOME=/root") {
		t.Errorf("the image's HOME is lost: %q", p.Env)
	}
	if p = get(in, Exec{Privileged: true}); len(p.Capabilities.Effective) != len(allCaps()) || len(p.Capabilities.Bounding) != len(allCaps()) {
		t.Errorf("privileged: %+v", p.Capabilities)
	}
	if p = get(in, Exec{Privileged: true, User: app}); len(p.Capabilities.Bounding) != len(allCaps()) || len(p.Capabilities.Effective) != 0 {
		t.Errorf("privileged, another user: %+v", p.Capabilities)
	}
}
