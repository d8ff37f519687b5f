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
	"strings"

	"github.com/nook-containers/nook/libpod/spec"
)

// ErrSyntax means that the text is malformed, or asks for what nook cannot do.
var ErrSyntax = errors.New("invalid value")

func bad(kind, text, format string, args ...any) error {
	return fmt.Errorf("%s %q: %w: %s", kind, text, ErrSyntax, fmt.Sprintf(format, args...))
}

// Volume reads -v: [SOURCE:]TARGET[:OPTION,...]. A source that begins with "/" or
// "." is a host path, relative ones below dir; any other is the name of a volume,
// and without a source the volume is anonymous.
func Volume(text, dir string) (spec.Mount, error) {
	parts := strings.Split(text, ":")
	if len(parts) > 3 {
		return spec.Mount{}, bad("volume", text, "want [SOURCE:]CONTAINER-DIR[:OPTIONS]")
	}
	m := spec.Mount{Type: spec.MountVolume}
	at := 0
	// "/a:ro" is a host path and a relative target, not an anonymous volume with
	// options: that is what it means elsewhere too.
	if len(parts) > 1 {
		at = 1
		if err := volumeSource(&m, text, parts[0], dir); err != nil {
			return m, err
		}
	}
	var err error
	if m.Target, err = target("volume", text, parts[at]); err != nil {
		return m, err
	}
	if len(parts) == 3 {
		for o := range strings.SplitSeq(parts[2], ",") {
			if err := mountOption(&m, "volume", text, o); err != nil {
				return m, err
			}
		}
	}
	return m, checkMount("volume", text, m)
}

func volumeSource(m *spec.Mount, text, source, dir string) error {
	switch {
	case source == "":
		return bad("volume", text, "the source is empty")
	case strings.HasPrefix(source, "/"), strings.HasPrefix(source, "."):
		m.Type, m.Source = spec.MountBind, absolute(source, dir)
	case strings.HasPrefix(source, "~"):
		return bad("volume", text, "the shell did not expand ~; write the path in full")
	default:
		if Name(source) != nil {
			return bad("volume", text, "a volume's name has letters, digits, '_', '.' and '-'; a host path begins with / or ./")
		}
		m.Volume = source
	}
	return nil
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

// mountOption reads one option of a bind, volume or image mount.
func mountOption(m *spec.Mount, kind, text, o string) error {
	switch o {
	case "", "rw":
	case "consistent", "cached", "delegated":
		// How late each side may see the other's changes, where a container runs in a
		// virtual machine. Here both have the same files: at once is what they allow.
	case "ro":
		m.ReadOnly = true
	case "z", "Z", "rbind", "bind", "nosuid", "suid", "nodev", "dev", "noexec", "exec",
		"private", "rprivate", "shared", "rshared", "slave", "rslave", "unbindable", "runbindable":
		if err := conflict(m.Options, o); err != nil {
			return bad(kind, text, "%v", err)
		}
		m.Options = append(m.Options, o)
	case "U":
		m.Chown = true
	case "O":
		m.Overlay = true
	case "nocreate":
		m.NoCreate = true
	case "copy", "nocopy":
		m.NoCopy = o == "nocopy"
		if m.Type != spec.MountVolume {
			return bad(kind, text, "option %s is for volumes: what is on the host is never filled", o)
		}
	default:
		return oddOption(kind, text, o)
	}
	return nil
}

// oddOption says what is wrong with an option that others may know.
func oddOption(kind, text, o string) error {
	switch key, _, _ := strings.Cut(o, "="); key {
	case "idmap":
		// mount_setattr(2): it takes CAP_SYS_ADMIN over the file system itself, which
		// nobody has in a user namespace below the one that mounted it.
		return bad(kind, text, "option idmap: the kernel lets only real root map the owners of a mount; "+
			"U gives the files to the container's user, and --userns keep-id needs no change of owners")
	case "upperdir", "workdir":
		return bad(kind, text, "option %s is not there; with O the changes are kept in the container until it is removed", key)
	}
	return bad(kind, text, "unknown option %q", o)
}

// checkMount finds what does not go together.
func checkMount(kind, text string, m spec.Mount) error {
	switch {
	case m.Overlay && m.Chown:
		return bad(kind, text, "options O and U exclude each other: U would change the files that O protects")
	case m.Overlay && m.ReadOnly:
		return bad(kind, text, "options O and ro exclude each other")
	case m.NoCreate && m.Type != spec.MountVolume:
		return bad(kind, text, "option nocreate is for volumes: a host directory is never created")
	case m.NoCreate && m.Volume == "":
		return bad(kind, text, "option nocreate needs the name of a volume")
	case m.Subpath != "" && (path.IsAbs(m.Subpath) || m.Subpath == ".." || strings.HasPrefix(path.Clean(m.Subpath), "../")):
		return bad(kind, text, "subpath %q: must be relative, and below the source", m.Subpath)
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

// Inheritance is one --volumes-from.
type Inheritance struct {
	Container string
	ReadOnly  bool
	Options   []string // further options of each mount
}

// VolumesFrom reads --volumes-from: CONTAINER[:OPTION,...]. Options are ro, rw, z
// and Z.
func VolumesFrom(text string) (Inheritance, error) {
	var from Inheritance
	name, opts, _ := strings.Cut(text, ":")
	if name == "" {
		return from, bad("volumes-from", text, "want CONTAINER[:OPTIONS]")
	}
	from.Container = name
	for o := range strings.SplitSeq(opts, ",") {
		switch o {
		case "", "rw":
		case "ro":
			from.ReadOnly = true
		case "z", "Z":
			if err := conflict(from.Options, o); err != nil {
				return from, bad("volumes-from", text, "%v", err)
			}
			from.Options = append(from.Options, o)
		default:
			return from, bad("volumes-from", text, "unknown option %q; want ro, rw, z or Z", o)
		}
	}
	return from, nil
}
