package ocispec

import (
	"slices"
	"strings"

	"github.com/nook-containers/nook/libpod/spec"
)

// Env is the command's environment: the host's where that was asked for, then
// defaults, the image's entries, the host's proxies, and the user's. A later entry
// replaces an earlier one of the same name in its place.
func Env(in Input) ([]string, error) {
	if err := checkImageEnv(in.Image.Env); err != nil {
		return nil, err
	}
	s := in.Spec.Session
	defaults := []string{defaultPath}
	if in.Spec.TTY {
		defaults = append(defaults, "TERM=xterm")
	}
	defaults = append(defaults, "container=nook")
	if spec.Systemd(in.Spec, in.Image) {
		defaults = append(defaults, "container_uuid="+in.ID[:min(32, len(in.ID))])
	}
	own := []string{"HOSTNAME=" + Hostname(in)}
	if in.User.Home != "" {
		own = append(own, "HOME="+in.User.Home)
	}
	kept := func(env []string) []string { return dropEnv(env, s) }
	base := mergeEnv(kept(s.HostEnv), kept(defaults), own, kept(in.Image.Env), kept(s.ProxyEnv))
	return mergeEnv(base, describedEnv(in.Described), expandEnv(s.MergeEnv, base), in.Spec.Env), nil
}

func dropEnv(env []string, s spec.Session) []string {
	if s.DropAllEnv {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(env), func(e string) bool {
		name, _, _ := strings.Cut(e, "=")
		return slices.Contains(s.DropEnv, name)
	})
}

// expandEnv replaces $NAME and ${NAME} in entries by values of env.
func expandEnv(entries, env []string) []string {
	var out []string
	for _, e := range entries {
		name, value, _ := strings.Cut(e, "=")
		out = append(out, name+"="+Expand(value, func(name string) string {
			for _, e := range env {
				if v, ok := strings.CutPrefix(e, name+"="); ok {
					return v
				}
			}
			return ""
		}))
	}
	return out
}

// Expand replaces $NAME and ${NAME} in text. A dollar sign before anything else
// stays.
func Expand(text string, value func(name string) string) string {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(text, "$")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		name, rest := variable(after)
		if name == "" {
			b.WriteByte('$')
		} else {
			b.WriteString(value(name))
		}
		text = rest
	}
}

// variable splits the name off that follows a dollar sign; "" if there is none.
func variable(s string) (name, rest string) {
	if inner, ok := strings.CutPrefix(s, "{"); ok {
		if name, rest, ok := strings.Cut(inner, "}"); ok && name != "" {
			return name, rest
		}
		return "", s
	}
	n := 0
	for n < len(s) && (s[n] == '_' || s[n] >= 'a' && s[n] <= 'z' || s[n] >= 'A' && s[n] <= 'Z' || n > 0 && s[n] >= '0' && s[n] <= '9') {
		n++
	}
	return s[:n], s[n:]
}
