package stage

import (
	"github.com/nook-containers/nook/pkg/oci/hooks"
	"github.com/nook-containers/nook/pkg/oci/plan"
)

// hook runs one hook in the container's namespaces.
func (s *setup) hook(kind string, h *plan.Hook, status string) error {
	st := s.State
	st.Pid, st.Status = s.selfPID, status
	return at("run "+kind+" hook", h.Path, hooks.Run(h, &st))
}

func (s *setup) startHooks() error {
	for i := range s.Hooks.StartContainer {
		if err := s.hook("startContainer", &s.Hooks.StartContainer[i], "created"); err != nil {
			return err
		}
	}
	return nil
}
