package monitor

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nook-containers/nook/libpod/attach"
	"github.com/nook-containers/nook/libpod/netd/member"
	"github.com/nook-containers/nook/libpod/spec"
)

// PortCall asks a monitor to change what its container publishes, until that ends.
// One of its parts is set.
type PortCall struct {
	Add    []spec.Port `json:"add,omitempty"`
	Remove []spec.Port `json:"remove,omitempty"` // those that Match
}

// question is a request on the connection of a membership, whose answer the
// membership's goroutine hears: what that changes is in place before the end of the
// same connection is seen, and the container joins again with it.
type question struct {
	remove []spec.Port  // with member.Unpublish
	answer chan<- reply // has room for one
}

// reply is the answer to a question.
type reply struct {
	ports []spec.Port
	err   error
}

// healing is how long a network's process may take to come back after its death.
const healing = 10 * time.Second

// Match returns those of ports, each on its own, that want means: its host's port
// and address matter where want has them. None: it is not published.
func Match(ports []spec.Port, want spec.Port) []spec.Port {
	var out []spec.Port
	for _, p := range ports {
		i := int(p.ContainerPort) - int(want.ContainerPort)
		if i < 0 || i >= max(int(want.Range), 1) || p.Proto != want.Proto ||
			want.HostPort != 0 && !among(p.HostPort, int(want.HostPort)+i, max(want.HostRange, 1)) || want.HostIP != "" && p.HostIP != want.HostIP {
			continue
		}
		out = append(out, p)
	}
	return out
}

// among reports whether port is one of n from first on.
func among(port uint16, first int, n uint16) bool {
	return int(port) >= first && int(port) < first+int(n)
}

// callPorts does what a client asks, and answers with the ports that came or went.
func (k *keeper) callPorts(c PortCall) Answered {
	k.asking.Lock()
	defer k.asking.Unlock()
	var got []spec.Port
	var err error
	for deadline := time.Now().Add(healing); ; <-time.After(firstTry) {
		got, err = k.changePorts(c)
		if !member.Lost(err) || time.Now().After(deadline) {
			break
		}
	}
	if err == nil {
		err = k.note()
	}
	return answered(got, err)
}

// answered is the answer with err, if there is one.
func answered(ports []spec.Port, err error) Answered {
	if err == nil {
		return Answered{Ports: ports}
	}
	a := Answered{Error: err.Error()}
	if e, ok := errors.AsType[*member.Error](err); ok {
		a.Hint = e.Hint
		if e.Busy != nil {
			a.Busy = &attach.BusyPort{Proto: e.Busy.Proto, Port: e.Busy.HostPort}
		}
	}
	return a
}

// changePorts tries once. Where a network's process has just died it is
// member.Lost.
func (k *keeper) changePorts(c PortCall) ([]spec.Port, error) {
	answer := make(chan reply, 1)
	if err := k.tell(c, answer); err != nil {
		return nil, err
	}
	r := <-answer
	return r.ports, r.err
}

// tell sends the request to the network that publishes, and leaves the answer to
// the membership's goroutine.
func (k *keeper) tell(c PortCall, answer chan<- reply) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ending {
		return errEnding
	}
	m, err := k.publisher()
	if err != nil {
		return err
	}
	r := member.Request{Op: member.Publish, Ports: c.Add}
	if len(c.Remove) > 0 {
		r.Op = member.Unpublish
		if r.Ports, err = matchAll(m.Join.Ports, c.Remove); err != nil {
			return err
		}
	}
	if err := m.Conn.Tell(r); err != nil {
		return err
	}
	m.asked = &question{answer: answer}
	if r.Op == member.Unpublish {
		m.asked.remove = r.Ports
	}
	return nil
}

// matchAll is Match for several, each of which is published.
func matchAll(ports, wanted []spec.Port) ([]spec.Port, error) {
	var out []spec.Port
	for _, want := range wanted {
		found := Match(ports, want)
		if len(found) == 0 {
			return nil, fmt.Errorf("port %s is not published", describe(want))
		}
		for _, p := range found {
			if !slices.Contains(out, p) {
				out = append(out, p)
			}
		}
	}
	return out, nil
}

// describe names a port that is to be removed.
func describe(p spec.Port) string {
	text := fmt.Sprintf("%d/%s", p.ContainerPort, p.Proto)
	if p.HostPort != 0 {
		text += fmt.Sprintf(" at %d", p.HostPort)
	}
	if p.HostIP != "" {
		text += " of " + string(p.HostIP)
	}
	return text
}

// publisher is the membership at which ports are published: the one that has some,
// else the first that has a way out, as at the start.
func (k *keeper) publisher() (*kept, error) {
	if len(k.nets) == 0 {
		return nil, errors.New("the container is in no network")
	}
	best := k.nets[0]
	for _, m := range k.nets {
		if len(m.Join.Ports) > 0 {
			return m, nil
		}
		if in, than := m.Join.Network.Internal, best.Join.Network.Internal; in == than && m.Join.Member.Order < best.Join.Member.Order || !in && than {
			best = m
		}
	}
	return best, nil
}

// take is what m's goroutine does with an answer; ok is false if nothing was asked.
func (k *keeper) take(m *kept, r member.Reply, err error) (ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	q := m.asked
	if q == nil {
		return false
	}
	m.asked = nil
	got := reply{r.Ports, err}
	if err == nil && q.remove != nil {
		got.ports = q.remove
		m.Join.Ports = slices.DeleteFunc(slices.Clone(m.Join.Ports), func(p spec.Port) bool { return slices.Contains(q.remove, p) })
	} else if err == nil {
		m.Join.Ports = append(slices.Clone(m.Join.Ports), r.Ports...)
	}
	q.answer <- got
	return true
}

// note puts it on record what is published.
func (k *keeper) note() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.noteLocked()
}

func (k *keeper) noteLocked() error {
	if k.ending || k.record == nil {
		return nil
	}
	var ports []spec.Port
	for _, m := range k.nets {
		ports = append(ports, m.Join.Ports...)
	}
	return k.record(ports)
}
