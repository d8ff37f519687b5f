package syntax

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/nook-containers/nook/libpod/spec"
)

// SecurityOpt adds one --security-opt to s. readFile gets a seccomp profile.
func SecurityOpt(s *spec.Security, text string, readFile func(string) ([]byte, error)) error {
	key, value, hasValue := strings.Cut(text, "=")
	if !hasValue {
		key, value, hasValue = strings.Cut(text, ":") // Docker's old spelling
	}
	switch key {
	case "no-new-privileges":
		return toggle(&s.NoNewPrivileges, text, value, hasValue)
	case "writable-cgroups":
		return toggle(&s.WritableCgroups, text, value, hasValue)
	case "privileged-without-host-devices":
		return toggle(&s.NoHostDevices, text, value, hasValue)
	case "seccomp":
		return seccomp(s, text, value, readFile)
	case "mask":
		return addPaths(&s.Mask, text, value, "")
	case "unmask":
		return addPaths(&s.Unmask, text, value, spec.UnmaskAll)
	case "systempaths":
		if value != "unconfined" {
			return bad("security option", text, "want systempaths=unconfined")
		}
		s.Unmask = append(s.Unmask, spec.UnmaskAll)
	case "apparmor", "label":
		return confinement(s, text, key, value)
	case "proc-opts":
		return procOptions(s, text, value)
	default:
		return bad("security option", text, "unknown option %q", key)
	}
	return nil
}

func seccomp(s *spec.Security, text, value string, readFile func(string) ([]byte, error)) error {
	switch value {
	case "":
		return bad("security option", text, "want seccomp=unconfined, seccomp=nested or seccomp=PROFILE.json")
	case spec.SeccompUnconfined, spec.SeccompNested:
		s.Seccomp = value
		return nil
	case "builtin", "default":
		s.Seccomp = ""
		return nil
	}
	profile, err := readFile(value)
	if err != nil {
		return bad("security option", text, "%v", err)
	}
	s.Seccomp = string(profile)
	return nil
}

// addPaths also accepts the word all, in any case, if it is not empty.
func addPaths(to *[]string, text, value, all string) error {
	for p := range strings.SplitSeq(value, ":") {
		if all != "" && strings.EqualFold(p, all) {
			*to = append(*to, all)
			continue
		}
		if !strings.HasPrefix(p, "/") {
			return bad("security option", text, "%q is not an absolute path", p)
		}
		if _, err := path.Match(p, ""); err != nil {
			return bad("security option", text, "%q: %v", p, err)
		}
		*to = append(*to, path.Clean(p))
	}
	return nil
}

func toggle(to *bool, text, value string, hasValue bool) error { //nolint:revive // as strings.Cut has it
	on, err := true, error(nil)
	if hasValue {
		if on, err = strconv.ParseBool(value); err != nil {
			return bad("security option", text, "want true or false")
		}
	}
	*to = on
	return nil
}

// confinement reads label= and apparmor=. An ordinary user has neither labels to
// give nor profiles to load: a container is as free as the user, unless it asks
// for a profile that the host has loaded.
func confinement(s *spec.Security, text, key, value string) error {
	switch {
	case key == "label" && (value == "disable" || value == "nested"):
		return nil // there is no label to be taken away, or to be changed inside
	case key == "label":
		return bad("security option", text, "SELinux labels of containers are not there; want label=disable")
	case value == "":
		return bad("security option", text, "want apparmor=unconfined or apparmor=PROFILE")
	case value == "unconfined":
		s.AppArmor = ""
	default:
		s.AppArmor = value
	}
	return nil
}

// procOptions reads proc-opts=OPTION[,OPTION...] (proc(5), "Mount options").
func procOptions(s *spec.Security, text, value string) error {
	for o := range strings.SplitSeq(value, ",") {
		key, v, _ := strings.Cut(o, "=")
		switch {
		case key == "hidepid" && slices.Contains([]string{"0", "1", "2", "4", "off", "noaccess", "invisible", "ptraceable"}, v):
		case key == "subset" && v == "pid":
		case key == "gid" && v != "" && strings.Trim(v, "0123456789") == "":
		default:
			return bad("security option", text, "%q is no option of proc; want hidepid=N, gid=N or subset=pid", o)
		}
		s.ProcOptions = append(s.ProcOptions, o)
	}
	return nil
}
