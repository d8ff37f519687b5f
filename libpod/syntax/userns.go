package syntax

import (
	"math"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/nook-containers/nook/libpod/spec"
)

// UserNS reads --userns.
func UserNS(text string) (spec.UserNS, error) {
	mode, opts, hasOpts := strings.Cut(text, ":")
	switch mode {
	case "", "host":
		mode = spec.UserNSHost
	case spec.UserNSKeepID, spec.UserNSNoMap, spec.UserNSAuto:
	case spec.UserNSPath:
		if !strings.HasPrefix(opts, "/") {
			return spec.UserNS{}, bad("user namespace", text, "want ns: and the absolute path of a user namespace")
		}
		return spec.UserNS{Mode: mode, Path: path.Clean(opts)}, nil
	case "private":
		return spec.UserNS{}, bad("user namespace", text, "say which ids it has: keep-id, nomap, auto, or --uidmap")
	default:
		return spec.UserNS{}, bad("user namespace", text,
			"want host, keep-id[:uid=N,gid=N,size=N], nomap, auto[:size=N,uidmapping=MAP,gidmapping=MAP], ns:PATH or container:NAME")
	}
	u := spec.UserNS{Mode: mode}
	if !hasOpts {
		return u, nil
	}
	for o := range strings.SplitSeq(opts, ",") {
		key, value, _ := strings.Cut(o, "=")
		if err := userNSOption(&u, text, key, value); err != nil {
			return spec.UserNS{Mode: mode}, err
		}
	}
	return u, nil
}

func userNSOption(u *spec.UserNS, text, key, value string) error {
	var to *uint32
	switch known := u.Mode + " " + key; known {
	case "auto uidmapping":
		return forced(&u.UIDMap, text, key, value)
	case "auto gidmapping":
		return forced(&u.GIDMap, text, key, value)
	case "auto size", "keep-id size":
		to = &u.Size
	case "keep-id uid":
		u.UID = new(uint32)
		to = u.UID
	case "keep-id gid":
		u.GID = new(uint32)
		to = u.GID
	default:
		if u.Mode == spec.UserNSAuto || u.Mode == spec.UserNSKeepID {
			return bad("user namespace", text, "unknown option %q", key)
		}
		return bad("user namespace", text, "only keep-id and auto take options")
	}
	n, err := strconv.ParseUint(value, 10, 32)
	if err != nil || n > math.MaxInt32 {
		return bad("user namespace", text, "%s must be a number up to %d", key, math.MaxInt32)
	}
	*to = uint32(n)
	return nil
}

// forced reads a mapping that a map of --userns=auto must have.
func forced(to *[]spec.IDMapping, text, key, value string) error {
	m, err := IDMap(value)
	if err != nil || m.uids != m.gids || m.Extend {
		return bad("user namespace", text, "%s: want CONTAINER:[@]HOST:SIZE", key)
	}
	*to = append(*to, m.IDMapping)
	return nil
}

// A Mapping is one --uidmap or --gidmap. Without uids and gids it is for what the
// flag says, and where the other flag is not given for both.
type Mapping struct {
	spec.IDMapping
	uids, gids bool
}

// IDMap reads [+][u][g]CONTAINER:[@]HOST[:SIZE], the size being 1 if it is not
// given (podman-run(1), --uidmap).
func IDMap(text string) (Mapping, error) {
	var m Mapping
	rest := text
	for ; rest != "" && strings.Contains("+ug", rest[:1]); rest = rest[1:] {
		switch rest[0] {
		case '+':
			m.Extend = true
		case 'u':
			m.uids = true
		case 'g':
			m.gids = true
		}
	}
	f := strings.Split(rest, ":")
	if len(f) == 2 {
		f = append(f, "1")
	}
	if len(f) != 3 {
		return m, bad("id mapping", text, "want [+][u|g]CONTAINER:[@]HOST[:SIZE]")
	}
	f[1], m.Host = strings.TrimPrefix(f[1], "@"), strings.HasPrefix(f[1], "@")
	for i, to := range []*uint32{&m.Inside, &m.Outside, &m.Size} {
		n, err := strconv.ParseUint(f[i], 10, 32)
		if err != nil || n == math.MaxUint32 {
			return m, bad("id mapping", text, "%q is not an id", f[i])
		}
		*to = uint32(n)
	}
	if m.Size == 0 {
		return m, bad("id mapping", text, "the size is 0")
	}
	return m, nil
}

// IDMaps reads all --uidmap and --gidmap of a command line. A list that is not
// given is a copy of the other one, without what is for uids or gids alone.
func IDMaps(uidmap, gidmap []string) (uids, gids []spec.IDMapping, err error) {
	for i, list := range [][]string{uidmap, gidmap} {
		both := len(uidmap) == 0 || len(gidmap) == 0
		for _, text := range list {
			m, err := IDMap(text)
			if err != nil {
				return nil, nil, err
			}
			plain := m.uids == m.gids
			if m.uids || plain && (both || i == 0) {
				uids = append(uids, m.IDMapping)
			}
			if m.gids || plain && (both || i == 1) {
				gids = append(gids, m.IDMapping)
			}
		}
	}
	return slices.Clip(uids), slices.Clip(gids), nil
}
