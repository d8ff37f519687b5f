package syntax

import (
	"slices"
	"strings"

	"github.com/nook-containers/nook/libpod/spec"
)

// IPC reads --ipc.
func IPC(text string) (string, error) {
	switch text {
	case "":
		return "", nil
	case spec.IPCShareable:
		return "", nil // the default
	case spec.IPCPrivate, spec.IPCNone, spec.NSHost:
		return text, nil
	}
	return joinable("ipc namespace", text, "private, shareable, none, host or container:NAME")
}

// PID reads --pid.
func PID(text string) (string, error) { return namespace("pid namespace", text) }

// UTS reads --uts.
func UTS(text string) (string, error) { return namespace("uts namespace", text) }

// CgroupNS reads --cgroupns.
func CgroupNS(text string) (string, error) { return namespace("cgroup namespace", text) }

func namespace(kind, text string) (string, error) {
	switch text {
	case "", "private":
		return "", nil
	case spec.NSHost:
		return text, nil
	}
	return joinable(kind, text, "private, host or container:NAME")
}

func joinable(kind, text, want string) (string, error) {
	if name, ok := strings.CutPrefix(text, spec.NSContainer); ok && name != "" {
		return text, nil
	}
	if strings.HasPrefix(text, "ns:") {
		return "", bad(kind, text, "paths of namespaces are not there yet; want %s", want)
	}
	return "", bad(kind, text, "want %s", want)
}

// Share reads --share: names with commas between, each with "+" for one that adds
// to the default. Without a "+" they stand in place of it; "none" and nothing are no
// namespace.
func Share(text string) ([]string, error) {
	if text == "" || text == "none" {
		return nil, nil
	}
	def := []string{spec.ShareIPC, spec.ShareNet, spec.ShareUTS}
	var named []string
	plus := false
	for i, word := range strings.Split(text, ",") {
		name, more := strings.CutPrefix(word, "+")
		if i > 0 && more != plus && !plus {
			return nil, bad("share", text, "either all names have a + or none")
		}
		plus = plus || more
		switch name {
		case spec.ShareCgroup, spec.ShareIPC, spec.ShareNet, spec.SharePID, spec.ShareUTS:
		case "mnt", "user":
			return nil, bad("share", text, "%s cannot be chosen: every container has its own files, and all have one user namespace", name)
		default:
			return nil, bad("share", text, "%s is not one of cgroup, ipc, net, pid and uts", name)
		}
		named = append(named, name)
	}
	if plus {
		named = append(named, def...)
	}
	slices.Sort(named)
	return slices.Compact(named), nil
}
