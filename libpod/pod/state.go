package pod

import (
	"errors"

	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/state"
)

// States of pods, as podman-pod-ps(1) prints them.
const (
	Created  = "Created"  // nothing has run
	Running  = "Running"  // all run
	Degraded = "Degraded" // some run
	Paused   = "Paused"   // all are paused
	Stopped  = "Stopped"  // some have ended, the others never ran
	Exited   = "Exited"   // all have ended
	Dead     = "Dead"     // the state of one cannot be told
)

// State derives a pod's state from the words of its containers (state.Status),
// the infra container among them.
func State(words []string) string {
	count := map[string]int{}
	for _, w := range words {
		switch w {
		case state.Running, state.Exited, state.Created, state.Paused:
			count[w]++
		case state.Initialized: // nothing of it has run
			count[state.Created]++
		case state.Restarting: // between two runs
			count[state.Exited]++
		default:
			return Dead
		}
	}
	all := len(words)
	switch {
	case all == 0, count[state.Created] == all:
		return Created
	case count[state.Running] == all:
		return Running
	case count[state.Running] > 0:
		return Degraded
	case count[state.Paused] == all:
		return Paused
	case count[state.Exited] == all:
		return Exited
	}
	return Stopped
}

// Members returns the containers of a pod, oldest first, the infra container among
// them.
func (s Store) Members(id string) ([]*state.Container, error) {
	all, errs := s.Containers.List()
	var members []*state.Container
	for _, c := range all {
		if c.Spec.Pod == id {
			members = append(members, c)
		}
	}
	return members, errors.Join(errs...)
}

// Last reports whether the pod of c is to end because c, which is not asked, was
// the last of its containers that ran. It returns the container to stop; nil for
// none.
func (s Store) Last(c *state.Container) (*state.Container, error) {
	if c.Spec.Pod == "" || c.Spec.Infra {
		return nil, nil //nolint:nilnil // no pod to end
	}
	p, err := s.Lookup(c.Spec.Pod)
	if err != nil || p.Spec.ExitPolicy != spec.ExitStop {
		return nil, err
	}
	members, err := s.Members(p.ID)
	if err != nil {
		return nil, err
	}
	var infra *state.Container
	for _, m := range members {
		switch {
		case m.ID == c.ID: // to ask for our own lock would drop it (fcntl(2))
		case m.Spec.Infra:
			infra = m
		default:
			// Also one that is ending: it asks too, and after it has let go.
			if pid, err := m.Monitor(); err != nil || pid != 0 {
				return nil, err
			}
		}
	}
	return infra, nil
}
