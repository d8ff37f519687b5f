package container

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nook-containers/nook/libpod/ocispec"
)

// generate writes the files that a container finds mounted over its image's:
// its name, and a passwd entry for a user that the image does not know, without
// which many programs fail.
func generate(dir string, in ocispec.Input, a accounts) (ocispec.Files, error) {
	name := ocispec.Hostname(in)
	files := ocispec.Files{
		Hosts:        filepath.Join(dir, "hosts"),
		Hostname:     filepath.Join(dir, "hostname"),
		ContainerEnv: filepath.Join(dir, "containerenv"),
	}
	hosts := "127.0.0.1\tlocalhost localhost.localdomain\n::1\tlocalhost localhost.localdomain\n127.0.1.1\t" + name + "\n"
	if in.Spec.Network == ocispec.NetworkHost {
		files.ResolvConf = "/etc/resolv.conf"
		if host, err := os.ReadFile("/etc/hosts"); err == nil {
			hosts = string(host)
		}
	}
	contents := map[string][]byte{
		files.Hosts: []byte(hosts), files.Hostname: []byte(name + "\n"), files.ContainerEnv: nil,
	}
	if !a.hasUID(in.User.UID) && in.User.UID != 0 {
		files.Passwd = filepath.Join(dir, "passwd")
		contents[files.Passwd] = append(bytes.TrimRight(a.passwd, "\n"), fmt.Sprintf("\nuser%d:*:%d:%d::%s:/bin/sh\n",
			in.User.UID, in.User.UID, in.User.GID, in.User.Home)...)
		contents[files.Passwd] = bytes.TrimLeft(contents[files.Passwd], "\n")
	}
	for path, data := range contents {
		if err := writeNew(path, data); err != nil {
			return ocispec.Files{}, err
		}
	}
	drop := func(p *string, target string) {
		for _, m := range in.Spec.Mounts {
			if filepath.Clean(m.Target) == target {
				*p = ""
			}
		}
	}
	drop(&files.Hosts, "/etc/hosts")
	drop(&files.Hostname, "/etc/hostname")
	drop(&files.ResolvConf, "/etc/resolv.conf")
	drop(&files.Passwd, "/etc/passwd")
	return files, nil
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
