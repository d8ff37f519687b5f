package volume

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/nook-containers/nook/pkg/problem"
)

// Kinds of Backing.
const (
	Directory = "directory" // nook's own
	Bind      = "bind"      // one of the host's
	Tmpfs     = "tmpfs"     // memory; each run of a container begins with an empty one
)

// Backing is what the options of a volume (--opt) mean.
type Backing struct {
	Kind     string
	Device   string   // absolute path of a Bind
	UID, GID *uint32  // owner of a Directory, in ids of the user's namespace
	NoCopy   bool     // do not fill it with what an image has
	Options  []string // mount options, as in mount(8)
}

// ParseOptions reads the options type, device and o, as docker-volume-create(1)
// has them. A volume is mounted without real root, so only tmpfs and the host's
// directories can be.
func ParseOptions(opts map[string]string) (Backing, error) {
	b := Backing{Kind: Directory}
	for _, key := range slices.Sorted(maps.Keys(opts)) {
		switch key {
		case "type", "device", "o":
		default:
			return b, problem.Hint(fmt.Errorf("option %q: unknown", key), "options of volumes: type, device, o")
		}
	}
	words := strings.FieldsFunc(opts["o"], func(r rune) bool { return r == ',' })
	switch kind := opts["type"]; kind {
	case "", "none", "bind":
		if kind == "bind" || slices.Contains(words, "bind") || slices.Contains(words, "rbind") {
			b.Kind = Bind
		} else if kind == "none" {
			return b, errors.New("option type=none needs o=bind")
		}
	case "tmpfs":
		b.Kind = Tmpfs
	default:
		return b, problem.Hint(fmt.Errorf("option type=%s: only root can mount it", kind),
			"mount it on the host and use it with: -v DIR:/path; or choose type=tmpfs")
	}
	if err := b.device(opts["device"]); err != nil {
		return b, err
	}
	for _, w := range words {
		if err := b.word(w); err != nil {
			return b, err
		}
	}
	return b, nil
}

func (b *Backing) device(device string) error {
	switch b.Kind {
	case Directory:
		if device != "" {
			return fmt.Errorf("option device=%s: needs a type", device)
		}
	case Bind:
		if !filepath.IsAbs(device) {
			return fmt.Errorf("option device=%s: must be an absolute path", device)
		}
		b.Device = filepath.Clean(device)
	}
	return nil // a tmpfs has none, whatever it is called
}

// word reads one word of the option "o".
func (b *Backing) word(w string) error {
	key, value, hasValue := strings.Cut(w, "=")
	key = strings.ToLower(key)
	if w = key; hasValue {
		w += "=" + value
	}
	switch key {
	case "copy", "nocopy":
		b.NoCopy = key == "nocopy"
		return nil
	case "uid", "gid":
		return b.owner(key, value)
	case "bind", "rbind":
		if b.Kind != Bind {
			return fmt.Errorf("option o=%s: is for type=none", w)
		}
	case "ro", "rw", "nosuid", "suid", "nodev", "dev", "noexec", "exec", "noatime", "relatime", "strictatime", "nodiratime":
		if b.Kind == Directory {
			return fmt.Errorf("option o=%s: give it where the volume is mounted, as in -v NAME:/path:%s", w, w)
		}
	case "size", "mode", "nr_inodes", "nr_blocks", "huge", "noswap", "inode32", "inode64":
		if b.Kind != Tmpfs {
			return problem.Hint(fmt.Errorf("option o=%s: only root can limit a directory", w), "add: -o type=tmpfs -o device=tmpfs")
		}
	default:
		return fmt.Errorf("option o=%s: unknown", w)
	}
	b.Options = append(b.Options, w)
	return nil
}

func (b *Backing) owner(key, value string) error {
	n, err := strconv.ParseUint(value, 10, 31)
	if err != nil {
		return fmt.Errorf("option o=%s=%s: want a number", key, value)
	}
	switch b.Kind {
	case Tmpfs:
		b.Options = append(b.Options, key+"="+value)
		return nil
	case Bind:
		return fmt.Errorf("option o=%s: the owner of a host directory is not changed", key)
	}
	id := uint32(n)
	if key == "uid" {
		b.UID = &id
	} else {
		b.GID = &id
	}
	return nil
}
