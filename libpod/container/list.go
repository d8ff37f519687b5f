package container

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nook-containers/nook/libpod/state"
)

// Listed is a container with what is true of it now.
type Listed struct {
	*state.Container
	state.Status
}

// List returns the containers that f lets through, newest first. Records that
// cannot be read come as errors beside them.
func List(s state.Store, f Filter) ([]Listed, []error) {
	all, errs := s.List()
	var out []Listed
	for _, c := range slices.Backward(all) {
		st, err := c.Status()
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if l := (Listed{c, st}); f.match(l) {
			out = append(out, l)
		}
	}
	return out, errs
}

// Filter chooses containers: every key must match, by any of its values; of
// labels, each.
type Filter map[string][]string

// FilterKeys lists the keys that ParseFilter takes.
func FilterKeys() []string {
	return []string{"ancestor", "before", "exited", "id", "label", "label!", "name", "since", "status", "until", "volume"}
}

// ParseFilter reads KEY=VALUE pairs. before and since name containers of s, whose
// times of creation they stand for.
func ParseFilter(pairs []string, s state.Store) (Filter, error) {
	f := Filter{}
	for _, p := range pairs {
		key, value, ok := strings.Cut(p, "=")
		if strings.HasSuffix(key, "!") || !ok {
			if k, v, not := strings.Cut(p, "!="); not {
				key, value, ok = k+"!", v, true
			}
		}
		if !ok || !slices.Contains(FilterKeys(), key) {
			return nil, fmt.Errorf("filter %q: unknown; want KEY=VALUE with one of the keys %s", p, strings.Join(FilterKeys(), ", "))
		}
		value, err := filterValue(key, value, s)
		if err != nil {
			return nil, fmt.Errorf("filter %q: %w", p, err)
		}
		f[key] = append(f[key], value)
	}
	return f, nil
}

// filterValue checks a value; times become RFC 3339.
func filterValue(key, value string, s state.Store) (string, error) {
	switch key {
	case "status":
		switch value {
		case state.Created, state.Running, state.Exited, "paused", "initialized", "stopped", "stopping", "removing", "unknown", "restarting", "dead":
			return value, nil
		}
		return "", fmt.Errorf("unknown status")
	case "exited":
		_, err := strconv.Atoi(value)
		return value, err
	case "before", "since":
		c, err := s.Lookup(value)
		if err != nil {
			return "", err
		}
		return c.Created.Format(time.RFC3339Nano), nil
	case "until":
		t, err := parseTime(value)
		return t.Format(time.RFC3339Nano), err
	}
	return value, nil
}

// parseTime reads a point in time: RFC 3339 or a part of it, seconds since 1970,
// or how long ago.
func parseTime(text string) (time.Time, error) {
	if d, err := time.ParseDuration(text); err == nil {
		return time.Now().Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return t, nil
		}
	}
	if sec, err := strconv.ParseFloat(text, 64); err == nil {
		return time.Unix(0, int64(sec*1e9)), nil
	}
	return time.Time{}, fmt.Errorf("want a time as 2006-01-02T15:04:05, seconds since 1970, or a duration as 10m")
}

func (f Filter) match(l Listed) bool {
	for key, values := range f {
		one := func(v string) bool { return l.matches(key, v) }
		if key == "label" || key == "label!" {
			if slices.ContainsFunc(values, func(v string) bool { return !one(v) }) {
				return false
			}
		} else if !slices.ContainsFunc(values, one) {
			return false
		}
	}
	return true
}

func (l Listed) matches(key, value string) bool {
	switch key {
	case "id":
		return strings.HasPrefix(l.ID, value)
	case "name":
		return strings.Contains(l.Name, value)
	case "label":
		return hasLabel(l.Labels(), value)
	case "label!":
		return !hasLabel(l.Labels(), value)
	case "status":
		return l.Word == value || value == "stopped" && l.Word == state.Exited
	case "exited":
		return l.Word == state.Exited && strconv.Itoa(l.Status.Run.ExitCode) == value
	case "ancestor":
		return l.ImageName == value || strings.HasPrefix(l.ImageID, value) || trimTag(l.ImageName) == trimTag(value) && trimTag(value) == value ||
			path.Base(l.ImageName) == value || path.Base(trimTag(l.ImageName)) == value
	case "volume":
		for _, m := range l.Spec.Mounts {
			if m.Source == value || m.Target == value {
				return true
			}
		}
		return false
	}
	at, err := time.Parse(time.RFC3339Nano, value)
	if key == "since" {
		return err == nil && l.Created.After(at)
	}
	return err == nil && l.Created.Before(at) // before, until
}

// Labels are the image's and the container's own.
func (l Listed) Labels() map[string]string { return merge(l.Image.Labels, l.Spec.Labels) }

func hasLabel(labels map[string]string, want string) bool {
	key, value, hasValue := strings.Cut(want, "=")
	have, ok := labels[key]
	return ok && (!hasValue || have == value)
}

func trimTag(name string) string {
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		return name[:i]
	}
	return name
}
