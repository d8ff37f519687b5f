package syntax

import (
	"encoding/json"
	"math"
	"path"
	"strconv"
	"strings"

	"github.com/nook-containers/nook/libpod/spec"
)

// Bytes reads a size: a whole number with an optional unit b, k, m, g or t
// (powers of 1024) in either case, and an optional b after it, as 64m or 1gb.
func Bytes(text string) (int64, error) {
	num, shift := strings.ToLower(text), 0
	if n := strings.TrimSuffix(num, "b"); n != "" {
		num = n
	}
	if num != "" {
		if i := strings.IndexByte("kmgt", num[len(num)-1]); i >= 0 {
			num, shift = num[:len(num)-1], 10*(i+1)
		}
	}
	n, err := strconv.ParseUint(num, 10, 63)
	if err != nil {
		return 0, bad("size", text, "want a number with an optional unit b, k, m, g or t")
	}
	if n > math.MaxInt64>>shift {
		return 0, bad("size", text, "too large")
	}
	return int64(n) << shift, nil //nolint:gosec // bounded above
}

// Ulimit reads --ulimit: NAME=SOFT[:HARD]; -1 and "unlimited" are no limit.
func Ulimit(text string) (spec.Ulimit, error) {
	name, values, ok := strings.Cut(text, "=")
	if !ok || name == "" {
		return spec.Ulimit{}, bad("ulimit", text, "want NAME=SOFT[:HARD]")
	}
	soft, hard, two := strings.Cut(values, ":")
	if !two {
		hard = soft
	}
	u := spec.Ulimit{Name: strings.TrimPrefix(strings.ToLower(name), "rlimit_")}
	var err1, err2 error
	u.Soft, err1 = limit(soft)
	u.Hard, err2 = limit(hard)
	if err1 != nil || err2 != nil {
		return u, bad("ulimit", text, "a limit is a number, -1 or unlimited")
	}
	if u.Hard >= 0 && (u.Soft < 0 || u.Soft > u.Hard) {
		return u, bad("ulimit", text, "the soft limit is above the hard one")
	}
	return u, nil
}

func limit(text string) (int64, error) {
	if text == "unlimited" || text == "-1" {
		return -1, nil
	}
	n, err := strconv.ParseUint(text, 10, 63)
	return int64(n), err //nolint:gosec // 63 bits
}

// Device reads --device: HOST[:CONTAINER][:PERMISSIONS].
func Device(text string) (spec.Device, error) {
	if isCDI(text) {
		return spec.Device{Source: text}, nil
	}
	parts := strings.Split(text, ":")
	d := spec.Device{Source: parts[0]}
	switch {
	case len(parts) == 2 && !strings.HasPrefix(parts[1], "/"):
		d.Permissions = parts[1]
	case len(parts) >= 2:
		d.Target = parts[1]
	}
	if d.Target != "" {
		d.Target = path.Clean(d.Target)
	}
	if len(parts) == 3 {
		d.Permissions = parts[2]
	}
	switch {
	case len(parts) > 3:
		return d, bad("device", text, "want HOST[:CONTAINER][:PERMISSIONS]")
	case !strings.HasPrefix(d.Source, "/"):
		return d, bad("device", text, "want an absolute path of the host, or VENDOR/CLASS=NAME")
	case d.Target != "" && !strings.HasPrefix(d.Target, "/"):
		return d, bad("device", text, "the path in the container must be absolute")
	case d.Target == "/":
		return d, bad("device", text, "the container's root directory is no device")
	case strings.Trim(d.Permissions, "rwm") != "":
		return d, bad("device", text, "permissions are some of r, w and m")
	}
	return d, nil
}

// isCDI reports whether text is VENDOR/CLASS=NAME (CDI's SPEC.md, "CDI Device
// Names"). The name may have colons.
func isCDI(text string) bool {
	kind, name, ok := strings.Cut(text, "=")
	vendor, class, two := strings.Cut(kind, "/")
	words := func(s, more string) bool {
		for _, c := range s {
			if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune(more, c) {
				return false
			}
		}
		return s != ""
	}
	return ok && two && words(vendor, "-_.") && words(class, "-_") && words(name, "-_.:")
}

// GPUs reads --gpus: all, a number of them, or device=NAME[,NAME...]. They are of
// whichever vendor the host has.
func GPUs(text string) ([]spec.Device, error) {
	names := []string{"all"}
	plain := strings.Trim(text, `"'`)
	n, err := strconv.Atoi(plain)
	list, named := strings.CutPrefix(plain, "device=")
	switch {
	case plain == "all":
	case named && list != "":
		names = strings.Split(list, ",")
	case err == nil && n > 0 && n <= maxGPUs:
		names = nil
		for i := range n {
			names = append(names, strconv.Itoa(i))
		}
	default:
		return nil, bad("gpus", text, "want all, a number or device=NAME[,NAME...]")
	}
	var out []spec.Device
	for _, name := range names {
		if !isCDI("any/" + spec.AnyGPU + name) {
			return nil, bad("gpus", text, "%q is no name of a device", name)
		}
		out = append(out, spec.Device{Source: spec.AnyGPU + name})
	}
	return out, nil
}

const maxGPUs = 1024 // more is a mistake

// KeyValue reads KEY=VALUE; kind names the flag in errors.
func KeyValue(kind, text string) (key, value string, err error) {
	key, value, ok := strings.Cut(text, "=")
	if key == "" || !ok {
		return "", "", bad(kind, text, "want KEY=VALUE")
	}
	return key, value, nil
}

// Label reads KEY[=VALUE].
func Label(text string) (key, value string, err error) {
	key, value, _ = strings.Cut(text, "=")
	if key == "" {
		return "", "", bad("label", text, "want KEY[=VALUE]")
	}
	return key, value, nil
}

// Restart reads no, on-failure[:N], always or unless-stopped.
func Restart(text string) (spec.Restart, error) {
	policy, count, counted := strings.Cut(text, ":")
	switch policy {
	case "", "no", "never":
		policy = spec.RestartNo
	case spec.RestartOnFailure, spec.RestartAlways, spec.RestartUnlessStopped:
	default:
		return spec.Restart{}, bad("restart policy", text, "want no, on-failure[:N], always or unless-stopped")
	}
	r := spec.Restart{Policy: policy}
	if !counted {
		return r, nil
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 || policy != spec.RestartOnFailure {
		return spec.Restart{}, bad("restart policy", text, "only on-failure takes a number, of at least 0")
	}
	r.Max = n
	return r, nil
}

// Name checks the name of a container and of all else that spec.ValidName is about.
func Name(text string) error {
	switch {
	case text == "" || len(text) > spec.MaxName:
		return bad("name", text, "want 1 to %d characters", spec.MaxName)
	case !spec.ValidName(text):
		return bad("name", text, "use letters, digits, '_', '.' and '-', starting with a letter or digit")
	}
	return nil
}

// Entrypoint reads --entrypoint: a JSON array of words, one word, or nothing.
func Entrypoint(text string) ([]string, error) {
	words := []string{}
	switch {
	case text == "":
	case strings.HasPrefix(text, "["):
		if err := json.Unmarshal([]byte(text), &words); err != nil {
			return nil, bad("entrypoint", text, "want a JSON array of strings")
		}
	default:
		words = []string{text}
	}
	return words, nil
}

// Umask reads an octal file mode mask; nil for an empty text.
func Umask(text string) (*uint32, error) {
	if text == "" {
		return nil, nil
	}
	n, err := strconv.ParseUint(text, 8, 32)
	if err != nil || n > 0o777 {
		return nil, bad("umask", text, "want an octal number up to 0777")
	}
	mask := uint32(n)
	return &mask, nil
}
