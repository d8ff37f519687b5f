// Package syntax reads the compact text forms of a container's settings, as the
// command line and unit files spell them. It is pure: host facts come in as
// arguments, and every error quotes the text.
package syntax

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/nook-containers/nook/libpod/spec"
)

// ErrSyntax means that the text is malformed, or asks for what nook cannot do.
var ErrSyntax = errors.New("invalid value")

func bad(kind, text, format string, args ...any) error {
	return fmt.Errorf("%s %q: %w: %s", kind, text, ErrSyntax, fmt.Sprintf(format, args...))
}

// Volume reads -v: SOURCE:TARGET[:OPTION,...]. A source that begins with "/",
// "." or "~" is a host path, relative ones below dir.
func Volume(text, dir string) (spec.Mount, error) {
	parts := strings.Split(text, ":")
	if len(parts) < 2 || len(parts) > 3 {
		if len(parts) == 1 {
			return spec.Mount{}, bad("volume", text, "anonymous volumes are not there yet; want HOST-DIR:CONTAINER-DIR[:OPTIONS]")
		}
		return spec.Mount{}, bad("volume", text, "want HOST-DIR:CONTAINER-DIR[:OPTIONS]")
	}
	if !strings.HasPrefix(parts[0], "/") && !strings.HasPrefix(parts[0], ".") {
		return spec.Mount{}, bad("volume", text, "named volumes are not there yet; a host path begins with / or ./")
	}
	m := spec.Mount{Type: spec.MountBind, Source: absolute(parts[0], dir)}
	var err error
	if m.Target, err = target("volume", text, parts[1]); err != nil {
		return m, err
	}
	if len(parts) == 3 {
		for o := range strings.SplitSeq(parts[2], ",") {
			if err := bindOption(&m, text, o); err != nil {
				return m, err
			}
		}
	}
	return m, nil
}

func absolute(p, dir string) string {
	if filepath.IsAbs(p) {
		return filepath.Clean(p)
	}
	return filepath.Join(dir, p)
}

func target(kind, text, p string) (string, error) {
	if !strings.HasPrefix(p, "/") {
		return "", bad(kind, text, "the path in the container must be absolute")
	}
	p = path.Clean(p)
	if p == "/" {
		return "", bad(kind, text, "cannot mount over the container's root")
	}
	return p, nil
}

func bindOption(m *spec.Mount, text, o string) error {
	switch o {
	case "", "rw":
	case "ro":
		m.ReadOnly = true
	case "z", "Z", "rbind", "bind", "nosuid", "suid", "nodev", "dev", "noexec", "exec",
		"private", "rprivate", "shared", "rshared", "slave", "rslave", "unbindable", "runbindable":
		if err := conflict(m.Options, o); err != nil {
			return bad("volume", text, "%v", err)
		}
		m.Options = append(m.Options, o)
	case "U":
		return bad("volume", text, "option U (change the owner) is not there yet")
	case "O":
		return bad("volume", text, "option O (overlay) is not there yet")
	case "idmap", "copy", "nocopy", "nocreate":
		return bad("volume", text, "option %s is not there yet", o)
	default:
		return bad("volume", text, "unknown option %q", o)
	}
	return nil
}

// conflict refuses two options of one kind.
func conflict(have []string, o string) error {
	for _, group := range [][]string{
		{"z", "Z"},
		{"rbind", "bind"},
		{"nosuid", "suid"},
		{"nodev", "dev"},
		{"noexec", "exec"},
		{"private", "rprivate", "shared", "rshared", "slave", "rslave", "unbindable", "runbindable"},
	} {
		if !slices.Contains(group, o) {
			continue
		}
		for _, h := range have {
			if slices.Contains(group, h) {
				return fmt.Errorf("options %s and %s exclude each other", h, o)
			}
		}
	}
	return nil
}

// Tmpfs reads --tmpfs: TARGET[:OPTION,...].
func Tmpfs(text string) (spec.Mount, error) {
	p, opts, _ := strings.Cut(text, ":")
	t, err := target("tmpfs", text, p)
	m := spec.Mount{Type: spec.MountTmpfs, Target: t}
	if err != nil {
		return m, err
	}
	for o := range strings.SplitSeq(opts, ",") {
		if err := tmpfsOption(&m, text, o); err != nil {
			return m, err
		}
	}
	return withTmpfsDefaults(m), nil
}

func tmpfsOption(m *spec.Mount, text, o string) error {
	key, value, _ := strings.Cut(o, "=")
	switch key {
	case "", "rw":
		return nil
	case "ro":
		m.ReadOnly = true
		return nil
	case "nosuid", "suid", "nodev", "dev", "noexec", "exec", "noatime", "relatime", "strictatime", "nodiratime", "tmpcopyup", "notmpcopyup":
	case "size":
		if _, err := Bytes(strings.TrimSuffix(value, "%")); err != nil {
			return bad("tmpfs", text, "size: %v", err)
		}
	case "mode":
		if _, err := strconv.ParseUint(value, 8, 12); err != nil {
			return bad("tmpfs", text, "mode must be octal, as 1777")
		}
	case "nr_inodes", "nr_blocks", "uid", "gid":
		if _, err := strconv.ParseUint(strings.TrimRight(value, "kKmMgG"), 10, 63); err != nil {
			return bad("tmpfs", text, "%s must be a number", key)
		}
	default:
		return bad("tmpfs", text, "unknown option %q", o)
	}
	m.Options = append(m.Options, o)
	return nil
}

// withTmpfsDefaults makes a tmpfs writable for everybody, as /tmp is, and filled
// with what the image has there.
func withTmpfsDefaults(m spec.Mount) spec.Mount {
	if !slices.ContainsFunc(m.Options, func(o string) bool { return strings.HasPrefix(o, "mode=") }) {
		m.Options = append(m.Options, "mode=1777")
	}
	if i := slices.Index(m.Options, "notmpcopyup"); i >= 0 {
		m.Options = slices.Delete(m.Options, i, i+1)
	} else if !slices.Contains(m.Options, "tmpcopyup") {
		m.Options = append(m.Options, "tmpcopyup")
	}
	return m
}

// Mount reads --mount: type=KIND,KEY[=VALUE],....
func Mount(text, dir string) (spec.Mount, error) {
	m := spec.Mount{Type: spec.MountBind}
	fields := strings.Split(text, ",")
	for _, f := range fields {
		if kind, ok := strings.CutPrefix(f, "type="); ok {
			m.Type = kind
		}
	}
	switch m.Type {
	case spec.MountBind, spec.MountTmpfs:
	case "volume", "image", "devpts", "ramfs", "glob", "artifact":
		return m, bad("mount", text, "type %s is not there yet", m.Type)
	default:
		return m, bad("mount", text, "unknown type %q; want bind or tmpfs", m.Type)
	}
	for _, f := range fields {
		if err := mountField(&m, text, dir, f); err != nil {
			return m, err
		}
	}
	if m.Target == "" {
		return m, bad("mount", text, "target is missing")
	}
	if m.Type == spec.MountTmpfs {
		return withTmpfsDefaults(m), nil
	}
	if m.Source == "" {
		return m, bad("mount", text, "source is missing")
	}
	return m, nil
}

func mountField(m *spec.Mount, text, dir, field string) (err error) {
	key, value, hasValue := strings.Cut(field, "=")
	switch key {
	case "type":
	case "src", "source":
		if m.Type == spec.MountTmpfs {
			return bad("mount", text, "a tmpfs has no source")
		}
		if value == "" {
			return bad("mount", text, "source is empty")
		}
		m.Source = absolute(value, dir)
	case "dst", "destination", "target":
		m.Target, err = target("mount", text, value)
	case "ro", "readonly", "rw":
		on := true
		if hasValue {
			if on, err = strconv.ParseBool(value); err != nil {
				return bad("mount", text, "%s must be true or false", key)
			}
		}
		m.ReadOnly = on == (key != "rw")
	default:
		if m.Type == spec.MountTmpfs {
			return mountTmpfsField(m, text, key, field, value)
		}
		return mountBindField(m, text, key, value)
	}
	return err
}

func mountTmpfsField(m *spec.Mount, text, key, field, value string) error {
	switch key {
	case "tmpfs-size":
		field = "size=" + value
	case "tmpfs-mode":
		field = "mode=" + value
	}
	return tmpfsOption(m, text, field)
}

func mountBindField(m *spec.Mount, text, key, value string) error {
	switch key {
	case "bind-propagation":
		switch strings.TrimPrefix(value, "r") {
		case "private", "shared", "slave", "unbindable":
			return bindOption(m, text, value)
		}
		return bad("mount", text, "bind-propagation %q: want [r]private, [r]shared, [r]slave or [r]unbindable", value)
	case "bind-nonrecursive":
		if value == "" || value == "true" {
			return bindOption(m, text, "bind")
		}
		return nil
	case "bind-recursive":
		switch value {
		case "disabled":
			return bindOption(m, text, "bind")
		case "enabled":
			return nil
		}
		return bad("mount", text, "bind-recursive %q: want enabled or disabled", value)
	case "relabel":
		switch value {
		case "shared":
			return bindOption(m, text, "z")
		case "private":
			return bindOption(m, text, "Z")
		}
		return bad("mount", text, "relabel %q: want shared or private", value)
	case "nosuid", "suid", "nodev", "dev", "noexec", "exec":
		return bindOption(m, text, key)
	}
	return bad("mount", text, "unknown key %q for type bind", key)
}
