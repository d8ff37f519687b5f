package monitor

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/nook-containers/nook/libpod/attach"
	"github.com/nook-containers/nook/libpod/netd/member"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/pkg/sys"
)

// Net is a network that the container is a member of.
type Net struct {
	Dir  string         // of the network's process
	Join member.Request // what it joined with; the ports are those that it got
	Conn *member.Conn
	NS   *os.File // the network's namespace
}

// netBrief is a Net for the stage. Numbers are descriptors.
type netBrief struct {
	Dir      string
	Join     member.Request
	Conn, NS int
}

func passOnNets(nets []*Net) ([]netBrief, error) {
	var out []netBrief
	for _, n := range nets {
		b := netBrief{Dir: n.Dir, Join: n.Join}
		var err1, err2 error
		b.Conn, err1 = passOn(n.Conn.File())
		b.NS, err2 = passOn(n.NS)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		out = append(out, b)
	}
	return out, nil
}

func (b netBrief) net() (*Net, error) {
	conn, err := adopt(b.Conn)
	if err != nil {
		return nil, err
	}
	ns, err := sys.Adopt(b.NS, "network namespace")
	if err != nil {
		return nil, err
	}
	return &Net{Dir: b.Dir, Join: b.Join, Conn: member.NewConn(conn), NS: ns}, nil
}

// Times of a membership.
const (
	firstTry = 5 * time.Millisecond // between tries to join again, doubling
	lastTry  = time.Second
	farewell = time.Second // for the network's process to answer
)

// keeper keeps the container's memberships as long as it runs: where a network's
// process has ended it starts another, and joins again.
type keeper struct {
	pid    int                     // of the container's first process
	record func([]spec.Port) error // puts it on disk what is published; called with mu held
	asking sync.Mutex              // one PortCall at a time

	mu      sync.Mutex
	nets    []*kept
	ending  bool
	leaving []*kept // once it ends
}

// kept is one membership, with a goroutine that reads from its connection.
type kept struct {
	*Net

	leave chan struct{} // closed when it is to end
	left  chan struct{} // closed when it has
	asked *question     // nil: nothing
	lost  bool          // a port, of which the record does not tell
}

func newKeeper(nets []*Net, pid int, record func([]spec.Port) error) *keeper {
	k := &keeper{pid: pid, record: record}
	for _, n := range nets {
		k.add(n)
	}
	return k
}

// add keeps n from now on.
func (k *keeper) add(n *Net) {
	m := &kept{Net: n, leave: make(chan struct{}), left: make(chan struct{})}
	k.nets = append(k.nets, m)
	go k.keep(m)
}

// keep waits for the end of m's connection, and joins again unless that is wanted.
func (k *keeper) keep(m *kept) {
	defer close(m.left)
	for {
		err := k.hear(m)
		k.take(m, member.Reply{}, err) // nobody else answers
		select {
		case <-m.leave:
			return
		default:
		}
		if !k.rejoin(m) {
			return
		}
	}
}

// hear reads answers until the connection ends, or that to leave comes.
func (k *keeper) hear(m *kept) error {
	for {
		reply, err := m.Conn.Next()
		if _, said := errors.AsType[*member.Error](err); err != nil && !said {
			return fmt.Errorf("%w: %w", member.ErrLost, err)
		}
		if k.take(m, reply, err) {
			continue
		}
		select {
		case <-m.leave:
			return errEnding
		default: // nothing that we asked for
		}
	}
}

// rejoin makes the container a member of the network's next process. It reports
// false where the membership is to end, or the container has.
func (k *keeper) rejoin(m *kept) bool {
	for wait := firstTry; ; wait = min(2*wait, lastTry) {
		select {
		case <-m.leave:
			return false
		default:
		}
		err := k.joinAgain(m)
		if err == nil {
			return true
		}
		if errors.Is(err, os.ErrNotExist) {
			return false // no first process any more
		}
		if e, ok := errors.AsType[*member.Error](err); ok && e.Code == member.CodeBusy && e.Busy != nil {
			k.dropPort(m, e) // somebody was faster; the others go on
			continue
		}
		select {
		case <-m.leave:
			return false
		case <-time.After(wait):
		}
	}
}

func (k *keeper) joinAgain(m *kept) error {
	own, err := os.Open("/proc/" + strconv.Itoa(k.pid) + "/ns/net")
	if err != nil {
		return err
	}
	defer own.Close()
	who := *m.Join.Member
	who.Again = true
	r := m.Join
	r.Member = &who
	conn, got, err := member.Enter(m.Dir, r, own, m.NS)
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	select {
	case <-m.leave: // it ended meanwhile
		for _, f := range got.Files {
			_ = f.Close()
		}
		return conn.Close()
	default:
	}
	_ = m.Conn.Close()
	m.Conn, m.Join.Ports = conn, got.Ports
	if len(got.Files) == 1 { // the same one, unless another process had begun anew
		_ = m.NS.Close()
		m.NS = got.Files[0]
	}
	if m.lost {
		m.lost = k.noteLocked() != nil // to be in the network matters more
	}
	return nil
}

// dropPort gives up a port.
func (k *keeper) dropPort(m *kept, e *member.Error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	ports := m.Join.Ports
	m.Join.Ports, m.lost = nil, true
	for _, p := range ports {
		if p != *e.Busy {
			m.Join.Ports = append(m.Join.Ports, p)
		}
	}
	if len(m.Join.Ports) == len(ports) {
		m.Join.Ports = nil // which it is cannot be told: the network matters more
	}
}

// depart begins to end all memberships.
func (k *keeper) depart() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ending = true
	k.leaving, k.nets = append(k.leaving, k.nets...), nil
	for _, m := range k.leaving {
		m.depart()
	}
}

// end, after depart, waits for the networks to have let go of ports and addresses, so
// that who hears of the container's end finds them free.
func (k *keeper) end() {
	timer := time.NewTimer(farewell)
	defer timer.Stop()
	for _, m := range k.leaving {
		select {
		case <-m.left:
		case <-timer.C:
			timer.Reset(0) // no more patience for the others
		}
		k.close(m)
	}
}

// close drops what is left of a membership.
func (k *keeper) close(m *kept) {
	k.mu.Lock()
	defer k.mu.Unlock()
	_ = m.Conn.Close()
	_ = m.NS.Close()
}

// depart begins to end a membership.
func (m *kept) depart() {
	close(m.leave)
	if err := m.Conn.Tell(member.Request{Op: member.Leave}); err != nil {
		_ = m.Conn.Close() // the process is gone, and the membership with it
	}
}

// NetCall asks a monitor to change what networks its container is in.
type NetCall struct {
	Dir  string          `json:"dir"`
	Join *member.Request `json:"join,omitempty"` // nil: leave
}

var (
	errAlready = errors.New("the container is in the network")
	errNot     = errors.New("the container is not in the network")
)

// call does what a client asks.
func (k *keeper) call(c NetCall) Answered {
	err := k.change(c)
	if err == nil {
		err = k.note()
	}
	return answered(nil, err)
}

func (k *keeper) change(c NetCall) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ending {
		return errEnding
	}
	at := -1
	for i, m := range k.nets {
		if m.Dir == c.Dir {
			at = i
		}
	}
	switch {
	case c.Join != nil && at >= 0:
		return errAlready
	case c.Join == nil && at < 0:
		return errNot
	case c.Join != nil:
		return k.join(c)
	}
	m := k.nets[at]
	k.nets = append(k.nets[:at:at], k.nets[at+1:]...)
	m.depart()
	k.mu.Unlock() // its goroutine may be about to join again
	select {
	case <-m.left:
	case <-time.After(farewell):
	}
	k.mu.Lock()
	_, _ = m.Conn.Close(), m.NS.Close() // nothing was written
	return nil
}

func (k *keeper) join(c NetCall) error {
	own, err := os.Open("/proc/" + strconv.Itoa(k.pid) + "/ns/net")
	if err != nil {
		return err
	}
	defer own.Close()
	r := k.placed(*c.Join)
	conn, got, err := member.Enter(c.Dir, r, own)
	if err != nil {
		return err
	}
	n := &Net{Dir: c.Dir, Join: r, Conn: conn}
	n.Join.Ports = got.Ports
	if len(got.Files) != 1 {
		return errors.Join(errors.New("the network's process gave no namespace"), conn.Close())
	}
	n.NS = got.Files[0]
	k.add(n)
	return nil
}

// placed is r after those networks that there are, with an interface name that none
// of them has.
func (k *keeper) placed(r member.Request) member.Request {
	m := *r.Member
	m.PID = os.Getpid()
	taken := map[string]bool{}
	for _, n := range k.nets {
		taken[n.Join.Member.Interface] = true
		m.Order = max(m.Order, n.Join.Member.Order+1)
	}
	for i := 0; m.Interface == ""; i++ {
		if name := "eth" + strconv.Itoa(i); !taken[name] {
			m.Interface = name
		}
	}
	r.Member = &m
	return r
}

// Answered is the answer to a NetCall or a PortCall.
type Answered struct {
	Error string           `json:"error,omitempty"`
	Hint  string           `json:"hint,omitempty"`
	Busy  *attach.BusyPort `json:"busy,omitempty"`  // which port was taken, where that is the error
	Ports []spec.Port      `json:"ports,omitempty"` // that came or went
}
