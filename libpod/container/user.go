package container

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/sys/user"

	"github.com/nook-containers/nook/libpod/ocispec"
	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/sys"
)

// maxAccountFile bounds /etc/passwd and /etc/group of an image, in bytes: both
// are untrusted and read into memory (CVE-2024-9676, CVE-2026-47262).
const maxAccountFile = 16 << 20

// accounts are an image's own users, groups and hosts.
type accounts struct{ passwd, group, hosts []byte }

func readAccounts(root *os.File) (accounts, error) {
	passwd, err := readInRoot(root, "/etc/passwd")
	if err != nil {
		return accounts{}, err
	}
	group, err := readInRoot(root, "/etc/group")
	return accounts{passwd: passwd, group: group}, err
}

// readInRoot reads a regular file below root; a missing one is empty.
func readInRoot(root *os.File, path string) ([]byte, error) {
	f, err := sys.OpenInRoot(root, path, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the image's %s: %w", path, err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read the image's %s: %w", path, err)
	}
	if !fi.Mode().IsRegular() {
		return nil, fmt.Errorf("read the image's %s: not a regular file", path)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxAccountFile+1))
	if err == nil && len(data) > maxAccountFile {
		err = fmt.Errorf("larger than %d MiB", maxAccountFile>>20)
	}
	if err != nil {
		return nil, fmt.Errorf("read the image's %s: %w", path, err)
	}
	return data, nil
}

// resolveUser looks who ("user[:group]", names or numbers, "" for root) and the
// supplementary groups up in the image.
func resolveUser(who string, groups []string, a accounts) (ocispec.User, error) {
	if err := checkNumbers(who); err != nil {
		return ocispec.User{}, err
	}
	u, err := user.GetExecUser(who, &user.ExecUser{Home: "/"}, bytes.NewReader(a.passwd), bytes.NewReader(a.group))
	if err != nil {
		return ocispec.User{}, problem.Hint(fmt.Errorf("user %q: %w", who, err),
			"use a number (--user 1000:1000), or a name that the image has in /etc/passwd and /etc/group")
	}
	out := ocispec.User{UID: uint32(u.Uid), GID: uint32(u.Gid), Home: u.Home, Groups: []uint32{uint32(u.Gid)}} //nolint:gosec // checked by the library: 0 to 1<<31-1
	extra := u.Sgids
	if len(groups) > 0 {
		named, err := user.GetAdditionalGroups(groups, bytes.NewReader(a.group))
		if err != nil {
			return ocispec.User{}, fmt.Errorf("supplementary groups: %w", err)
		}
		slices.Sort(named) // the library's order changes from call to call
		extra = append(extra, named...)
	}
	for _, g := range extra {
		if gid := uint32(g); !slices.Contains(out.Groups, gid) { //nolint:gosec // as above
			out.Groups = append(out.Groups, gid)
		}
	}
	return out, nil
}

// checkNumbers refuses ids that do not fit: an id above the limit must not be
// looked up as a name that an image maps to root (CVE-2026-46680).
func checkNumbers(who string) error {
	for part := range strings.SplitSeq(who, ":") {
		if part == "" || strings.Trim(part, "0123456789") != "" {
			continue
		}
		if n, err := strconv.ParseUint(part, 10, 64); err != nil || n > math.MaxInt32 {
			return fmt.Errorf("user %q: id %s is out of range; the largest is %d", who, part, math.MaxInt32)
		}
	}
	return nil
}

// with adds lines for users that the image does not know, by name or number.
func (a accounts) with(lines []string) accounts {
	for _, line := range lines {
		f := strings.Split(line, ":")
		if !hasField(a.passwd, 0, f[0]) && !hasField(a.passwd, 2, f[2]) {
			a.passwd = appendLines(a.passwd, []string{line})
		}
	}
	return a
}

// addAccounts completes /etc/passwd and /etc/group; nil where the image's serves.
func addAccounts(in ocispec.Input, a accounts) (passwd, group []byte) {
	s := in.Spec.Session
	var users, groups []string
	before := len(a.passwd)
	a = a.with(s.HostUsers)
	uid, gid := strconv.FormatUint(uint64(in.User.UID), 10), strconv.FormatUint(uint64(in.User.GID), 10)
	name := "user" + uid
	known := in.User.UID == 0 || hasField(a.passwd, 2, uid)
	if !known && !s.NoPasswd {
		template := s.PasswdEntry
		if template == "" {
			template = "$USERNAME:*:$UID:$GID:$NAME:$HOME:/bin/sh"
		}
		users = append(users, ocispec.Expand(template, func(v string) string {
			return map[string]string{"USERNAME": name, "UID": uid, "GID": gid, "HOME": in.User.Home}[v] // NAME: there is none
		}))
	}
	if s.GroupEntry != "" && !s.NoPasswd && !hasField(a.group, 2, gid) {
		groups = append(groups, ocispec.Expand(s.GroupEntry, func(v string) string {
			return map[string]string{"GROUPNAME": "group" + gid, "GID": gid, "USERLIST": name}[v]
		}))
	}
	if passwd = appendLines(a.passwd, users); passwd == nil && len(a.passwd) != before {
		passwd = a.passwd
	}
	return passwd, appendLines(a.group, groups)
}

// appendLines is nil where there is nothing to add.
func appendLines(data []byte, lines []string) []byte {
	if len(lines) == 0 {
		return nil
	}
	out := bytes.TrimRight(data, "\n")
	if len(out) > 0 {
		out = append(bytes.Clone(out), '\n')
	}
	return append(out, strings.Join(lines, "\n")+"\n"...)
}

// hasField reports whether a line of an account file has value in field n.
func hasField(data []byte, n int, value string) bool {
	for s := bufio.NewScanner(bytes.NewReader(data)); s.Scan(); {
		if f := strings.Split(s.Text(), ":"); len(f) > n && f[n] == value {
			return true
		}
	}
	return false
}
