package container

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/nook-containers/nook/libpod/events"
	"github.com/nook-containers/nook/libpod/pod"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/problem"
)

// A pod has no control group of its own: it stands still when its containers do.

// PausePod stops every process of a pod where it is. All running containers stand
// still then, or, with an error, those go on that did before.
func PausePod(p *pod.Pod) error {
	members, err := PodMembers(p)
	if err != nil {
		return err
	}
	running := slices.DeleteFunc(members, func(m PodMember) bool { return m.Word != state.Running })
	if len(running) == 0 {
		return problem.Hint(fmt.Errorf("pause pod %s: no container of it is running", p.Name), "run: nook pod ps")
	}
	// One that cannot be paused is told before the others are disturbed.
	for _, m := range running {
		if m.Run.Cgroup == "" {
			return fmt.Errorf("pod %s: %w", p.Name, noFreezer(m.Container))
		}
	}
	var mu sync.Mutex
	var still []PodMember // by our doing
	err = EachMember(running, func(m PodMember) error {
		err := Pause(m.Container)
		if errors.Is(err, ErrNotRunning) || errors.Is(err, ErrPaused) { // it ended, or somebody else was faster
			return nil
		}
		if err == nil {
			mu.Lock()
			defer mu.Unlock()
			still = append(still, m)
		}
		return err
	})
	if err != nil {
		return errors.Join(err, EachMember(still, func(m PodMember) error { return Unpause(m.Container) }))
	}
	events.TellPod(p, events.Pause)
	return nil
}

// UnpausePod lets every paused container of a pod go on.
func UnpausePod(p *pod.Pod) error {
	members, err := PodMembers(p)
	if err != nil {
		return err
	}
	word := PodState(members)
	frozen := slices.DeleteFunc(members, func(m PodMember) bool { return m.Word != state.Paused })
	if len(frozen) == 0 {
		return fmt.Errorf("unpause pod %s: it is %s, not paused", p.Name, strings.ToLower(word))
	}
	err = EachMember(frozen, func(m PodMember) error { return Unpause(m.Container) })
	if err == nil {
		events.TellPod(p, events.Unpause)
	}
	return err
}
