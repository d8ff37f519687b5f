package syntax

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/nook-containers/nook/libpod/spec"
)

// Mount reads --mount: type=KIND,KEY[=VALUE],.... Without a type it is a volume.
func Mount(text, dir string) (spec.Mount, error) {
	m := spec.Mount{Type: spec.MountVolume}
	fields := strings.Split(text, ",")
	for _, f := range fields {
		if kind, ok := strings.CutPrefix(f, "type="); ok {
			m.Type = kind
		}
	}
	switch m.Type {
	case spec.MountBind, spec.MountTmpfs, spec.MountVolume:
	case spec.MountImage:
		m.ReadOnly = true
	case "devpts", "ramfs", "glob", "artifact", "npipe", "cluster":
		return m, bad("mount", text, "type %s is not supported; want bind, volume, tmpfs or image", m.Type)
	default:
		return m, bad("mount", text, "unknown type %q; want bind, volume, tmpfs or image", m.Type)
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
	if m.Source == "" && m.Type != spec.MountVolume {
		return m, bad("mount", text, "source is missing")
	}
	return m, checkMount("mount", text, m)
}

func mountField(m *spec.Mount, text, dir, field string) (err error) {
	key, value, _ := strings.Cut(field, "=")
	switch key {
	case "type":
		return nil
	case "src", "source":
		return mountSource(m, text, dir, value)
	case "dst", "destination", "target":
		m.Target, err = target("mount", text, value)
		return err
	case "ro", "readonly", "rw":
		on, err := switched(text, field)
		m.ReadOnly = on == (key != "rw")
		return err
	}
	switch m.Type {
	case spec.MountTmpfs:
		return mountTmpfsField(m, text, key, field)
	case spec.MountImage:
		if key == "subpath" || key == "image-subpath" {
			m.Subpath = value
			return nil
		}
		return bad("mount", text, "unknown key %q for type image", key)
	case spec.MountVolume:
		if done, err := mountVolumeField(m, text, field); done {
			return err
		}
	}
	return mountBindField(m, text, field)
}

// switched reads KEY or KEY=BOOL.
func switched(text, field string) (bool, error) {
	key, value, hasValue := strings.Cut(field, "=")
	if !hasValue {
		return true, nil
	}
	on, err := strconv.ParseBool(value)
	if err != nil {
		return false, bad("mount", text, "%s must be true or false", key)
	}
	return on, nil
}

func mountSource(m *spec.Mount, text, dir, value string) error {
	switch {
	case m.Type == spec.MountTmpfs:
		return bad("mount", text, "a tmpfs has no source")
	case value == "":
		return bad("mount", text, "source is empty")
	case m.Type == spec.MountImage:
		m.Source = value
	case m.Type == spec.MountBind:
		m.Source = absolute(value, dir)
	case strings.ContainsRune(value, '/'):
		return bad("mount", text, "source %q is a path, not the name of a volume; add type=bind", value)
	default:
		if err := Name(value); err != nil {
			return err
		}
		m.Volume = value
	}
	return nil
}

// mountVolumeField reads the keys that only volumes have.
func mountVolumeField(m *spec.Mount, text, field string) (done bool, err error) {
	key, value, _ := strings.Cut(field, "=")
	switch key {
	case "volume-nocopy", "nocopy":
		m.NoCopy, err = switched(text, field)
	case "volume-subpath", "subpath":
		m.Subpath = value
	case "nocreate":
		m.NoCreate, err = switched(text, field)
	case "volume-driver":
		if value != "local" {
			err = bad("mount", text, "volume driver %q: there is only local", value)
		}
	case "volume-opt", "volume-label":
		err = bad("mount", text, "%s: make the volume first, with nook volume create", key)
	default:
		return false, nil
	}
	return true, err
}

// mountBindField reads the keys of binds and volumes.
func mountBindField(m *spec.Mount, text, field string) error {
	key, value, _ := strings.Cut(field, "=")
	switch key {
	case "bind-propagation":
		switch strings.TrimPrefix(value, "r") {
		case "private", "shared", "slave", "unbindable":
			return mountOption(m, "mount", text, value)
		}
		return bad("mount", text, "bind-propagation %q: want [r]private, [r]shared, [r]slave or [r]unbindable", value)
	case "bind-nonrecursive":
		if on, err := switched(text, field); err != nil || !on {
			return err
		}
		return mountOption(m, "mount", text, "bind")
	case "bind-recursive":
		return oneOf(m, text, field, map[string]string{"disabled": "bind", "enabled": ""})
	case "relabel":
		return oneOf(m, text, field, map[string]string{"shared": "z", "private": "Z"})
	case "consistency":
		return oneOf(m, text, field, map[string]string{"default": "", "consistent": "consistent", "cached": "cached", "delegated": "delegated"})
	case "U", "chown":
		on, err := switched(text, field)
		m.Chown = on
		return err
	case "O", "overlay":
		on, err := switched(text, field)
		m.Overlay = on
		return err
	case "nosuid", "suid", "nodev", "dev", "noexec", "exec":
		return mountOption(m, "mount", text, key)
	case "idmap":
		return oddOption("mount", text, key)
	}
	return bad("mount", text, "unknown key %q for type %s", key, m.Type)
}

// oneOf reads a key whose values stand for options.
func oneOf(m *spec.Mount, text, field string, options map[string]string) error {
	key, value, _ := strings.Cut(field, "=")
	o, ok := options[value]
	if !ok {
		return bad("mount", text, "%s %q: want %s", key, value, strings.Join(slices.Sorted(maps.Keys(options)), " or "))
	}
	return mountOption(m, "mount", text, o)
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
		if err := tmpfsOption(&m, "tmpfs", text, o); err != nil {
			return m, err
		}
	}
	return withTmpfsDefaults(m), nil
}

func mountTmpfsField(m *spec.Mount, text, key, field string) error {
	_, value, _ := strings.Cut(field, "=")
	switch key {
	case "tmpfs-size":
		field = "size=" + value
	case "tmpfs-mode":
		field = "mode=" + value
	case "U", "chown":
		var err error
		m.Chown, err = switched(text, field)
		return err
	}
	return tmpfsOption(m, "mount", text, field)
}

// tmpfsOption reads one option of tmpfs(5), or of the mount itself.
func tmpfsOption(m *spec.Mount, kind, text, o string) error {
	key, value, _ := strings.Cut(o, "=")
	switch key {
	case "", "rw":
		return nil
	case "ro":
		m.ReadOnly = true
		return nil
	case "U":
		m.Chown = true
		return nil
	case "nosuid", "suid", "nodev", "dev", "noexec", "exec", "noatime", "relatime", "strictatime", "nodiratime",
		"private", "rprivate", "shared", "rshared", "slave", "rslave", "unbindable", "runbindable",
		"tmpcopyup", "notmpcopyup", "noswap", "inode32", "inode64":
		if err := conflict(m.Options, o); err != nil {
			return bad(kind, text, "%v", err)
		}
	case "size":
		if _, err := Bytes(strings.TrimSuffix(value, "%")); err != nil {
			return bad(kind, text, "size: %v", err)
		}
	case "mode":
		if _, err := strconv.ParseUint(value, 8, 12); err != nil {
			return bad(kind, text, "mode must be octal, as 1777")
		}
	case "huge":
		if !slices.Contains([]string{"never", "always", "within_size", "advise"}, value) {
			return bad(kind, text, "huge: want never, always, within_size or advise")
		}
	case "nr_inodes", "nr_blocks", "uid", "gid":
		if _, err := strconv.ParseUint(strings.TrimRight(value, "kKmMgG"), 10, 63); err != nil {
			return bad(kind, text, "%s must be a number", key)
		}
	default:
		return bad(kind, text, "unknown option %q", o)
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
