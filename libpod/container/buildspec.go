package container

import (
	"os"
	"path/filepath"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/nook-containers/nook/libpod/ocispec"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/userns"
)

func effectiveCaps(s *specs.Spec) []string {
	if s.Process.Capabilities == nil {
		return nil
	}
	return s.Process.Capabilities.Effective
}

// buildSpec resolves what depends on the root file system and this host.
func buildSpec(p place, o StartOptions) (*specs.Spec, error) {
	c := p.c
	in := ocispec.Input{ID: c.ID, Spec: p.joined.spec, Image: c.Image, Joined: p.joined.namespaces, Described: p.described}
	ids, err := idMaps(c.Spec.UserNS)
	if err != nil {
		return nil, err
	}
	in.UIDs, in.GIDs = ociMap(ids.UIDs), ociMap(ids.GIDs)
	acc, err := readAccounts(p.root.Mount)
	if err != nil {
		return nil, err
	}
	if in.User, err = resolveUser(userOf(c.Spec, in.Image), c.Spec.Groups, acc.with(c.Spec.Session.HostUsers)); err != nil {
		return nil, err
	}
	if in.Host, err = hostFacts(ids.GIDs); err != nil {
		return nil, err
	}
	if c.Spec.Privileged && !c.Spec.Security.NoHostDevices {
		if in.Host.Devices, err = hostDevices(); err != nil {
			return nil, err
		}
	}
	if c.Spec.Hosts.HostsFile == spec.HostsImage {
		if acc.hosts, err = readInRoot(p.root.Mount, "/etc/hosts"); err != nil {
			return nil, err
		}
	}
	if !c.Spec.Infra {
		in.Files, err = generate(p.dir, in, acc, p.net)
	}
	if err != nil {
		return nil, err
	}
	built, err := ocispec.Build(in)
	if err != nil {
		return nil, err
	}
	if c.Spec.TTY {
		built.Process.ConsoleSize = &specs.Box{Height: uint(o.Size.Rows), Width: uint(o.Size.Cols)}
	}
	return built, nil
}

// userOf is who runs: asked for, else with keep-id the user, else the image's.
func userOf(c spec.Container, img spec.ImageConfig) string {
	switch {
	case c.User != "":
		return c.User
	case c.UserNS.Mode == spec.UserNSKeepID:
		uid, gid := keepIDs(c.UserNS)
		return strconv.FormatUint(uint64(uid), 10) + ":" + strconv.FormatUint(uint64(gid), 10)
	}
	return img.User
}

// hostFacts reads what a spec needs of this host.
func hostFacts(gids []userns.Extent) (ocispec.Host, error) {
	name, err := os.Hostname()
	if err != nil {
		return ocispec.Host{}, err
	}
	if gids == nil {
		shared, err := userns.Current()
		if err != nil {
			return ocispec.Host{}, err
		}
		gids = shared.GIDs
	}
	throttles, err := filepath.Glob("/sys/devices/system/cpu/cpu[0-9]*/thermal_throttle")
	return ocispec.Host{Hostname: name, MaxGID: maxID(gids), Masked: throttles}, err
}
