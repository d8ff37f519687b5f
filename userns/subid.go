package userns

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// SubIDs are the subordinate ids of one user.
type SubIDs struct {
	UIDs, GIDs []Range // in the order of the files, which is also newuidmap's
	Source     string  // "files" (subuid(5), subgid(5)) or "getsubids" (LDAP, SSSD)
}

// A Host says where to read the facts of this machine. The zero value is the
// machine itself.
type Host struct {
	// Root is put before every absolute path that is read or searched. Tests use
	// it; default "".
	Root string
	// Env is an environment, KEY=VALUE. PATH says where to look for newuidmap,
	// newgidmap and getsubids after the usual places; USER and LOGNAME name a user
	// whom /etc/passwd does not know.
	Env []string
}

func (h Host) path(p string) string {
	if h.Root == "" {
		return p
	}
	return filepath.Join(h.Root, p)
}

// read returns the content of a file, "" where there is none.
func (h Host) read(p string) (string, error) {
	data, err := os.ReadFile(h.path(p))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return string(data), err
}

// env returns the value of key; the first entry counts, as in os.Getenv.
func (h Host) env(key string) string {
	for _, e := range h.Env {
		if v, ok := strings.CutPrefix(e, key+"="); ok {
			return v
		}
	}
	return ""
}

// find returns the path of a program: as PATH finds it, else in the usual
// places, else "". PATH goes first because systems without /usr/bin put a
// set-user-id copy elsewhere (/run/wrappers/bin on NixOS).
func (h Host) find(name string) string {
	dirs := append(filepath.SplitList(h.env("PATH")), "/usr/bin", "/bin", "/usr/sbin", "/run/wrappers/bin", "/usr/local/bin")
	for _, d := range dirs {
		p := filepath.Join(d, name)
		if !filepath.IsAbs(d) {
			continue
		}
		if fi, err := os.Stat(h.path(p)); err == nil && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0 {
			return p
		}
	}
	return ""
}

// parseSubIDs returns the ranges that a subuid(5) file gives to any of owners,
// in file order. It is as tolerant as newuidmap(1): comments, blank lines, and
// lines that are not NAME:START:COUNT do not matter. The same line twice counts
// once: a user is often listed by name and by number. A range that passes the
// last possible id is cut there.
func parseSubIDs(text string, owners ...string) []Range {
	var ranges []Range
	for _, e := range parseSubIDFile(text) {
		if slices.Contains(owners, e.owner) && !slices.Contains(ranges, e.Range) {
			ranges = append(ranges, e.Range)
		}
	}
	return ranges
}

type subIDEntry struct {
	owner string
	Range
}

func parseSubIDFile(text string) []subIDEntry {
	var all []subIDEntry
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) != 3 || f[0] == "" || strings.HasPrefix(f[0], "#") {
			continue
		}
		if r, ok := parseRange(f[1], f[2]); ok {
			all = append(all, subIDEntry{strings.TrimSpace(f[0]), r})
		}
	}
	return all
}

func parseRange(start, count string) (Range, bool) {
	s, err := strconv.ParseUint(strings.TrimSpace(start), 10, 32)
	if err != nil || s == math.MaxUint32 {
		return Range{}, false
	}
	c, err := strconv.ParseUint(strings.TrimSpace(count), 10, 64)
	if err != nil {
		return Range{}, false
	}
	return Range{uint32(s), uint32(min(c, math.MaxUint32-s))}, true
}

// parseGetsubids reads the output of getsubids(1): "0: alice 100000 65536".
func parseGetsubids(text string) []Range {
	var ranges []Range
	for line := range strings.Lines(text) {
		_, rest, ok := strings.Cut(line, ":")
		f := strings.Fields(rest)
		if !ok || len(f) < 3 {
			continue
		}
		if r, ok := parseRange(f[1], f[2]); ok {
			ranges = append(ranges, r)
		}
	}
	return ranges
}

// subIDSource returns the first word of the subid line of nsswitch.conf(5),
// "" where there is none. newuidmap asks that source and no other.
func subIDSource(nsswitch string) string {
	for line := range strings.Lines(nsswitch) {
		line, _, _ = strings.Cut(line, "#")
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "subid:"); ok {
			if f := strings.Fields(v); len(f) > 0 {
				return f[0]
			}
		}
	}
	return ""
}

// A passwdEntry is what matters of a line of passwd(5).
type passwdEntry struct {
	name string
	gid  uint32
}

// lookupUID finds uid in passwd(5).
func lookupUID(passwd string, uid uint32) (passwdEntry, bool) {
	want := strconv.FormatUint(uint64(uid), 10)
	for line := range strings.Lines(passwd) {
		f := strings.Split(line, ":")
		if len(f) >= 4 && f[2] == want && f[0] != "" {
			gid, err := strconv.ParseUint(f[3], 10, 32)
			return passwdEntry{f[0], uint32(gid)}, err == nil
		}
	}
	return passwdEntry{}, false
}

// loginName names uid. The environment is believed only about a user whom
// passwd does not know at all (LDAP, SSSD): a name that passwd gives to another
// uid is what su(1) left behind, and would claim that user's ids.
func loginName(passwd string, uid uint32, env ...string) string {
	if e, ok := lookupUID(passwd, uid); ok {
		return e.name
	}
	for _, name := range env {
		if name == "" || strings.ContainsAny(name, ": \t\n'\"\\/") || name[0] == '-' || name[0] == '#' {
			continue
		}
		if !strings.HasPrefix(passwd, name+":") && !strings.Contains(passwd, "\n"+name+":") {
			return name
		}
	}
	return ""
}

// user returns who uid is, and the primary group of passwd(5), -1 if unknown.
func (h Host) user(uid, gid uint32) (Identity, int64, error) {
	passwd, err := h.read("/etc/passwd")
	if err != nil {
		return Identity{}, 0, err
	}
	id := Identity{UID: uid, GID: gid, User: loginName(passwd, uid, h.env("USER"), h.env("LOGNAME"))}
	primary := int64(-1)
	if e, ok := lookupUID(passwd, uid); ok {
		primary, id.Local = int64(e.gid), true
	}
	return id, primary, nil
}

// subIDs finds the subordinate ids of id: in the files, unless nsswitch.conf
// names another source; from getsubids(1) where that is so, or where the files
// have nothing.
func (h Host) subIDs(id Identity) (SubIDs, error) {
	nsswitch, err := h.read("/etc/nsswitch.conf")
	if err != nil {
		return SubIDs{}, err
	}
	files, err := h.subIDFiles(id)
	if err != nil {
		return SubIDs{}, err
	}
	src := subIDSource(nsswitch)
	elsewhere := src != "" && src != "files"
	if !elsewhere && len(files.UIDs)+len(files.GIDs) > 0 {
		return files, nil
	}
	exe := h.find("getsubids")
	if exe == "" {
		return files, nil
	}
	return h.askGetsubids(exe, id)
}

func (h Host) subIDFiles(id Identity) (SubIDs, error) {
	u, err := h.read(uids.file())
	if err != nil {
		return SubIDs{}, err
	}
	g, err := h.read(gids.file())
	if err != nil {
		return SubIDs{}, err
	}
	owners := []string{strconv.FormatUint(uint64(id.UID), 10)}
	if id.User != "" {
		owners = append(owners, id.User)
	}
	return SubIDs{UIDs: parseSubIDs(u, owners...), GIDs: parseSubIDs(g, owners...), Source: "files"}, nil
}

// askGetsubids runs getsubids for uids and gids at the same time. That it exits
// with a status other than 0 means that the user has no ranges.
func (h Host) askGetsubids(exe string, id Identity) (SubIDs, error) {
	u, err := startTool(h.path(exe), id.name())
	if err != nil {
		return SubIDs{}, err
	}
	g, err := startTool(h.path(exe), "-g", id.name())
	if err != nil {
		return SubIDs{}, errors.Join(err, u.stop())
	}
	s := SubIDs{Source: "getsubids"}
	uout, uerr := u.wait()
	gout, gerr := g.wait()
	if uerr == nil {
		s.UIDs = parseGetsubids(uout)
	}
	if gerr == nil {
		s.GIDs = parseGetsubids(gout)
	}
	for _, err := range []error{uerr, gerr} {
		if _, status := errors.AsType[*toolError](err); err != nil && !status {
			return SubIDs{}, fmt.Errorf("getsubids: %w", err)
		}
	}
	return s, nil
}
