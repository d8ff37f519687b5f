package container

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/nook-containers/nook/libpod/ocispec"
	"github.com/nook-containers/nook/libpod/spec"
)

// generate writes the files that a container finds mounted over its image's:
// its name, the hosts it knows, its time zone, and accounts that the image does
// not know, without which many programs fail.
func generate(dir string, in ocispec.Input, a accounts, v netView) (ocispec.Files, error) {
	files := ocispec.Files{}
	write := func(to *string, name string, data []byte, err error) error {
		if err != nil {
			return err
		}
		*to = filepath.Join(dir, name)
		return writeNew(*to, data)
	}
	errs := []error{write(&files.ContainerEnv, "containerenv", nil, nil)}
	if data, own := v.resolv(in.Spec); own {
		errs = append(errs, write(&files.ResolvConf, "resolv.conf", data, nil))
	} else if in.Spec.Network == ocispec.NetworkHost && !in.Spec.DNS.None {
		files.ResolvConf = hostResolvConf
	}
	if h := in.Spec.Hosts; !h.NoHosts {
		data, err := hostsFile(in, a, v)
		errs = append(errs, write(&files.Hosts, "hosts", data, err))
	}
	if !in.Spec.Hosts.NoName {
		errs = append(errs, write(&files.Hostname, "hostname", []byte(ocispec.Hostname(in)+"\n"), nil))
	}
	passwd, group := addAccounts(in, a)
	if passwd != nil {
		errs = append(errs, write(&files.Passwd, "passwd", passwd, nil))
	}
	if group != nil {
		errs = append(errs, write(&files.Group, "group", group, nil))
	}
	if zone := in.Spec.Session.TimeZone; zone != "" {
		data, err := readZone(zone)
		errs = append(errs, write(&files.LocalTime, "localtime", data, err))
	}
	dropMounted(&files, in.Spec.Mounts)
	return files, errors.Join(errs...)
}

// mountedFiles are the files that generate surely writes for c, where they are mounted.
// In the place of one the user may have mounted a directory.
func mountedFiles(c spec.Container) []string {
	files := []string{"/run/.containerenv"}
	if !c.Hosts.NoHosts {
		files = append(files, "/etc/hosts")
	}
	if !c.Hosts.NoName {
		files = append(files, "/etc/hostname")
	}
	if !c.DNS.None && (!c.DNS.IsZero() || c.Network == spec.NetworkBridge || c.Network == spec.NetworkHost) {
		files = append(files, "/etc/resolv.conf")
	}
	return slices.DeleteFunc(files, func(f string) bool {
		return slices.ContainsFunc(c.Mounts, func(m spec.Mount) bool { return filepath.Clean(m.Target) == f })
	})
}

const hostResolvConf = "/etc/resolv.conf"

// dropMounted leaves out files in whose place the user has something mounted.
func dropMounted(files *ocispec.Files, mounts []spec.Mount) {
	for _, f := range []struct {
		path   *string
		target string
	}{
		{&files.Hosts, "/etc/hosts"},
		{&files.Hostname, "/etc/hostname"},
		{&files.ResolvConf, "/etc/resolv.conf"},
		{&files.Passwd, "/etc/passwd"},
		{&files.Group, "/etc/group"},
		{&files.LocalTime, "/etc/localtime"},
	} {
		if slices.ContainsFunc(mounts, func(m spec.Mount) bool { return filepath.Clean(m.Target) == f.target }) {
			*f.path = ""
		}
	}
}

// hostsFile is /etc/hosts: what was asked for, which is found first, and the file
// that it begins with.
func hostsFile(in ocispec.Input, a accounts, v netView) ([]byte, error) {
	h := in.Spec.Hosts
	var b bytes.Buffer
	for _, add := range h.Add {
		line, err := v.added(add)
		if err != nil {
			return nil, err
		}
		b.WriteString(line)
	}
	base, err := []byte(nil), error(nil)
	switch {
	case h.HostsFile == spec.HostsImage:
		base = a.hosts
	case h.HostsFile != "" && h.HostsFile != spec.HostsNone:
		if base, err = os.ReadFile(h.HostsFile); err != nil {
			return nil, fmt.Errorf("hosts file: %w", err)
		}
	case h.HostsFile == "" && in.Spec.Network == ocispec.NetworkHost:
		base, _ = os.ReadFile("/etc/hosts") // a host without one has nothing to tell
	}
	if len(base) > 0 {
		b.Write(bytes.TrimRight(base, "\n"))
		b.WriteByte('\n')
	} else {
		b.WriteString("127.0.0.1\tlocalhost localhost.localdomain\n::1\tlocalhost localhost.localdomain\n")
		if len(v.leases) == 0 {
			b.WriteString("127.0.1.1\t" + ocispec.Hostname(in) + "\n")
		}
	}
	b.Write(v.lines(ocispec.Hostname(in)))
	return b.Bytes(), nil
}

// ZoneFile is where the host has a time zone.
func ZoneFile(name string) (string, error) {
	if name == spec.TimeZoneLocal {
		return "/etc/localtime", nil
	}
	if !filepath.IsLocal(name) {
		return "", fmt.Errorf("time zone %q: not a name", name)
	}
	return filepath.Join("/usr/share/zoneinfo", name), nil
}

func readZone(name string) ([]byte, error) {
	path, err := ZoneFile(name)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("time zone: %w", err)
	}
	return data, nil
}

// writeNew writes a fresh file: a bind mount of the former one, from an earlier
// run, keeps what it shows.
func writeNew(path string, data []byte) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("write %s: %w", path, err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	// Whatever the umask: the container's user reads it too.
	return errors.Join(err, f.Chmod(0o644), f.Close())
}
