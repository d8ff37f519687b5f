package ocispec

import (
	"fmt"
	"path"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	cdi "tags.cncf.io/container-device-interface/specs-go"
)

func describedEnv(e *cdi.ContainerEdits) []string {
	if e == nil {
		return nil
	}
	return e.Env
}

// describedMounts shows nodes and files of the host: an unprivileged user can make
// no nodes.
func describedMounts(e *cdi.ContainerEdits) []specs.Mount {
	if e == nil {
		return nil
	}
	var out []specs.Mount
	for _, n := range e.DeviceNodes {
		source := n.HostPath
		if source == "" {
			source = n.Path
		}
		opts := []string{"rbind", "rprivate", "nosuid", "noexec"}
		if n.Permissions != "" && !strings.Contains(n.Permissions, "w") {
			opts = append(opts, "ro")
		}
		out = append(out, specs.Mount{Destination: path.Clean(n.Path), Type: "bind", Source: source, Options: opts})
	}
	for _, m := range e.Mounts {
		kind, opts := m.Type, m.Options
		if kind == "" || kind == "none" {
			kind = "bind"
		}
		if kind == "bind" {
			opts = append([]string{"rbind", "rprivate"}, opts...)
		}
		out = append(out, specs.Mount{Destination: path.Clean(m.ContainerPath), Type: kind, Source: m.HostPath, Options: opts})
	}
	return out
}

// describedHooks are programs of the host that complete the container's files.
func describedHooks(e *cdi.ContainerEdits) (*specs.Hooks, error) {
	if e == nil || len(e.Hooks) == 0 {
		return nil, nil
	}
	out := &specs.Hooks{}
	for _, h := range e.Hooks {
		hook := specs.Hook{Path: h.Path, Args: h.Args, Env: h.Env, Timeout: h.Timeout}
		switch h.HookName {
		case "prestart":
			out.Prestart = append(out.Prestart, hook) //nolint:staticcheck // deprecated, yet in use
		case "createRuntime":
			out.CreateRuntime = append(out.CreateRuntime, hook)
		case "createContainer":
			out.CreateContainer = append(out.CreateContainer, hook)
		case "startContainer":
			out.StartContainer = append(out.StartContainer, hook)
		case "poststart":
			out.Poststart = append(out.Poststart, hook)
		case "poststop":
			out.Poststop = append(out.Poststop, hook)
		default:
			return nil, fmt.Errorf("CDI hook %s: there is no such moment: %q", h.Path, h.HookName)
		}
	}
	return out, nil
}
