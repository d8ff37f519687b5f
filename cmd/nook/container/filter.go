package container

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/libpod/health"
	"github.com/nook-containers/nook/libpod/pod"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/store"
)

type test = func(container.Listed) bool

// filters are the keys of ps --filter. s tells when the containers that before
// and since name were made.
func filters(s state.Store) cmdutil.Filters[container.Listed] {
	f := cmdutil.Filters[container.Listed]{
		"id":       simple(func(l container.Listed, v string) bool { return strings.HasPrefix(l.ID, v) }),
		"name":     name,
		"ancestor": simple(isOf),
		"volume": simple(func(l container.Listed, v string) bool {
			return slices.ContainsFunc(l.Spec.Mounts, func(m spec.Mount) bool { return v != "" && (m.Source == v || m.Target == v || m.Volume == v) })
		}),
		"pod":     inPod(s),
		"status":  status,
		"health":  healthIs,
		"command": simple(runs),
		"network": simple(inNetwork),
		"exited":  exited,
		"restart-policy": simple(func(l container.Listed, v string) bool {
			return l.Spec.Restart.Policy == v || v == "no" && l.Spec.Restart.Policy == ""
		}),
		"before": created(s, func(c, at time.Time) bool { return c.Before(at) }),
		"since":  created(s, func(c, at time.Time) bool { return c.After(at) }),
		"until": func(v string) (test, error) {
			at, err := cmdutil.Moment(v, time.Now())
			return func(l container.Listed) bool { return l.Created.Before(at) }, err
		},
	}
	f["should-start-on-boot"] = func(v string) (test, error) {
		want, err := strconv.ParseBool(v)
		return func(l container.Listed) bool { return container.StartsOnBoot(l.Container) == want }, err
	}
	cmdutil.LabelFilters(f, container.Listed.Labels)
	return f
}

// name takes a regular expression, as podman-ps(1) has it. To Docker names begin with a
// slash, which its users write: ^/web$.
func name(v string) (test, error) {
	re, err := regexp.Compile(v)
	if err != nil {
		return nil, err
	}
	return func(l container.Listed) bool { return re.MatchString(l.Name) || re.MatchString("/"+l.Name) }, nil
}

// inPod takes a pod's name, or the beginning of its id.
func inPod(s state.Store) func(string) (test, error) {
	return func(v string) (test, error) {
		p, err := pod.Of(s).Lookup(v)
		switch {
		case errors.Is(err, pod.ErrNotFound):
			return func(container.Listed) bool { return false }, nil
		case err != nil:
			return nil, err
		}
		return func(l container.Listed) bool { return l.Spec.Pod == p.ID }, nil
	}
}

func simple(match func(container.Listed, string) bool) func(string) (test, error) {
	return func(v string) (test, error) {
		return func(l container.Listed) bool { return match(l, v) }, nil
	}
}

// status takes every word that peers have, also for states that nook's
// containers cannot be in.
func status(v string) (test, error) {
	switch v {
	case "stopped":
		v = state.Exited
	case state.Created, state.Running, state.Exited, state.Restarting, state.Paused, "initialized", "stopping", "removing", "unknown", "dead":
	default:
		return nil, errors.New("unknown status; there are created, running, paused, restarting and exited")
	}
	return func(l container.Listed) bool { return l.Word == v }, nil
}

// healthIs takes docker-ps(1)'s words; none is a container without a health check,
// or one that does not run.
func healthIs(v string) (test, error) {
	want := v
	switch v {
	case health.Starting, health.Healthy, health.Unhealthy:
	case "none":
		want = ""
	default:
		return nil, errors.New("want starting, healthy, unhealthy or none")
	}
	return func(l container.Listed) bool { return l.Health == want }, nil
}

func exited(v string) (test, error) {
	code, err := strconv.Atoi(v)
	if err != nil {
		return nil, fmt.Errorf("exit status %q is not a number", v)
	}
	return func(l container.Listed) bool { return l.Word == state.Exited && l.Status.Run.ExitCode == code }, nil
}

func created(s state.Store, match func(c, at time.Time) bool) func(string) (test, error) {
	return func(v string) (test, error) {
		other, err := s.Lookup(v)
		if err != nil {
			return nil, err
		}
		return func(l container.Listed) bool { return match(l.Created, other.Created) }, nil
	}
}

// isOf reports whether the container's image is ref: an id or its beginning, a
// full name, or a name without registry or tag.
func isOf(l container.Listed, ref string) bool {
	if id := strings.TrimPrefix(ref, "sha256:"); len(id) >= 3 && strings.HasPrefix(l.ImageID, id) {
		return true
	}
	name, short := l.ImageName, path.Base(l.ImageName)
	repo, _ := store.SplitName(name)
	return ref == name || ref == short || ref == repo || ref == path.Base(repo) || strings.HasSuffix(name, "/"+ref)
}
