package oci

import (
	"fmt"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/nook-containers/nook/pkg/oci/hooks"
	"github.com/nook-containers/nook/pkg/oci/plan"
)

// runtimeHooks runs those that come between the making of the namespaces and
// pivot_root.
func runtimeHooks(c *Config, pid int) error {
	h := c.Spec.Hooks
	// These once ran between create and start, and get the state of then.
	if err := RunHooks("prestart", h.Prestart, State(c, pid, "created")); err != nil { //nolint:staticcheck // deprecated, yet to be honoured
		return err
	}
	return RunHooks("createRuntime", h.CreateRuntime, State(c, pid, "creating"))
}

// State is the state object of the runtime spec for a container.
func State(c *Config, pid int, status string) specs.State {
	return specs.State{
		Version: specs.Version, ID: c.ID, Status: specs.ContainerState(status),
		Pid: pid, Bundle: c.Bundle, Annotations: c.Spec.Annotations,
	}
}

// RunHooks runs the hooks of one kind in their order and stops at the first
// that fails. Poststart and poststop are the caller's to run: it knows when.
func RunHooks(kind string, list []specs.Hook, st specs.State) error {
	state := plan.State{
		Version: st.Version, ID: st.ID, Status: string(st.Status), Pid: st.Pid,
		Bundle: st.Bundle, Annotations: st.Annotations,
	}
	for _, h := range planHooks(list) {
		if err := hooks.Run(&h, &state); err != nil {
			return fmt.Errorf("run %s hook: %s: %w", kind, h.Path, err)
		}
	}
	return nil
}
