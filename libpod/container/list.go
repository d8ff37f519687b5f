package container

import (
	"slices"

	"github.com/nook-containers/nook/libpod/pod"
	"github.com/nook-containers/nook/libpod/state"
)

// Listed is a container with what is true of it now.
type Listed struct {
	*state.Container
	state.Status

	Health string // its status; empty if it does not run, or has no health check
}

// Labels are the image's and the container's own.
func (l Listed) Labels() map[string]string { return merge(l.Image.Labels, l.Spec.Labels) }

// List returns every container, newest first. Records that cannot be read come as
// errors beside them.
func List(s state.Store) ([]Listed, []error) {
	all, errs := s.List()
	out := make([]Listed, 0, len(all))
	for _, c := range slices.Backward(all) {
		if c.Spec.Pod != "" && pod.Of(s).Hidden(c.Spec.Pod) {
			continue // what a killed command left of it goes with the next one that makes or removes something
		}
		st, err := c.Status()
		if err != nil {
			errs = append(errs, err)
			continue
		}
		l := Listed{Container: c, Status: st}
		if st.Word == state.Running {
			r, _, err := HealthOf(c)
			if err != nil {
				errs = append(errs, err)
			}
			l.Health = r.Status
		}
		out = append(out, l)
	}
	return out, errs
}

// Foreign is the word for containers in the store that are another tool's.
const Foreign = "external"

// External lists the containers in the store that are not nook's: another tool
// works, or worked, with the same store. They have no command and no state.
func External(e *Engine) ([]Listed, error) {
	all, err := e.Layers.ContainerRecords()
	if err != nil {
		return nil, err
	}
	ours := map[string]bool{}
	mine, _ := e.State.List() // a damaged one shows as another's
	for _, c := range mine {
		ours[c.ID] = true
	}
	var out []Listed
	for _, r := range all {
		if ours[r.ID] {
			continue
		}
		out = append(out, Listed{
			Container: &state.Container{Config: state.Config{
				ID: r.ID, Name: r.Name, Created: r.Created, ImageID: r.ImageID, ImageName: r.ImageName, Command: []string{"storage"},
			}},
			Status: state.Status{Word: Foreign},
		})
	}
	return out, nil
}
