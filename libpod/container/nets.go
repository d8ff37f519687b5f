package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"

	"github.com/nook-containers/nook/libpod/monitor"
	"github.com/nook-containers/nook/libpod/netd/member"
	"github.com/nook-containers/nook/libpod/netprog"
	"github.com/nook-containers/nook/libpod/network"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/spec/ip"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/hostnet"
	"github.com/nook-containers/nook/pkg/problem"
)

// Nets are the networks of a container in the making. Their processes start, and
// plug the container in, while the engine is at work on its files.
type Nets struct {
	state state.Store
	store network.Store
	list  []*joining
	err   error          // of Warm
	busy  sync.WaitGroup // those who join

	program netprog.Program  // that carries the network in place of list; nil: none does
	running *netprog.Running // once it does
}

// joining is one of them.
type joining struct {
	use     spec.NetworkUse
	order   int
	network spec.Network
	dir     string
	conn    *member.Conn
	warm    chan error // the answer to member.Prepare
	lease   network.Lease
	net     *monitor.Net // once it is joined
	own     os.FileInfo  // the container's namespace, which is plugged in
}

// Warm has the networks of c started. What goes wrong comes up when they are
// needed. Nil: c is in none.
func Warm(s state.Store, c spec.Container) *Nets {
	mode, _ := c.NetworkMode()
	n := &Nets{state: s, store: network.Of(s)}
	switch {
	case netprog.Of(mode):
		n.program, n.err = netprog.Parse(mode, c.NetworkOptions)
		return n
	case mode != spec.NetworkBridge:
		return nil
	}
	for i, use := range c.Networks {
		j := &joining{use: use, order: i, dir: n.store.RunDir(use.Name), warm: make(chan error, 1)}
		n.list = append(n.list, j)
		if n.err = n.begin(j); n.err != nil {
			break
		}
	}
	return n
}

func (n *Nets) begin(j *joining) (err error) {
	// Where the process runs, the network is what it is.
	if j.conn, err = member.Dial(j.dir); err == nil {
		j.network, err = n.store.Get(j.use.Name)
	} else {
		j.network, err = n.find(j.use.Name)
	}
	if err != nil {
		return err
	}
	// Here and now: this process has not entered the container's control group yet,
	// which the network's must outlive.
	if j.conn == nil {
		if j.conn, err = member.Connect(j.dir); err != nil {
			return fmt.Errorf("network %s: %w", j.use.Name, err)
		}
	}
	conn := j.conn
	go func() {
		_, _, err := conn.Ask(member.Request{Op: member.Prepare, Network: &j.network, Store: storeOf(n.state)})
		j.warm <- err
	}()
	return nil
}

// find reads a network's record. The default network's addresses are chosen when
// it is first used.
func (n *Nets) find(name string) (spec.Network, error) {
	if name != spec.DefaultNetwork {
		return n.store.Get(name)
	}
	blocks, err := hostnet.Read()
	if err != nil {
		return spec.Network{}, err
	}
	taken := make([]network.Taken, 0, len(blocks))
	for _, b := range blocks {
		taken = append(taken, network.Taken{Prefix: b.Prefix, By: b.Interface, Routed: b.Routed})
	}
	return n.store.Settle(taken)
}

// lease gets addresses for c, which this process holds.
func (n *Nets) lease(ctx context.Context, c *state.Container) error {
	if n == nil || n.err != nil {
		return n.failed()
	}
	for _, j := range n.list {
		var err error
		if j.lease, err = n.store.Acquire(ctx, j.network, j.use, c.ID); err != nil {
			return err
		}
	}
	return nil
}

func (n *Nets) failed() error {
	if n == nil {
		return nil
	}
	return n.err
}

// plugIn joins the networks in the background, where the container's first process
// is there already. What it returns waits for that, and does it for the first
// process as it turned out to be.
func (n *Nets) plugIn(ctx context.Context, c *state.Container, seed int) (finish func(pid int) error) {
	switch {
	case n == nil:
		return func(int) error { return nil }
	case n.program != nil:
		return func(pid int) error { return n.run(ctx, c, pid) }
	}
	early := make(chan error, 1)
	n.busy.Go(func() { early <- n.join(c, seed) })
	return func(pid int) error {
		if err := <-early; err != nil {
			return err
		}
		return n.join(c, pid)
	}
}

// join makes the container, whose first process is pid, a member of its networks.
// Networks that it is a member of already, by a process in the same namespace, are
// left out.
func (n *Nets) join(c *state.Container, pid int) error {
	if n == nil || pid == 0 {
		return nil
	}
	ns, err := os.Open("/proc/" + strconv.Itoa(pid) + "/ns/net")
	if err != nil {
		return fmt.Errorf("network namespace: %w", err)
	}
	defer ns.Close()
	own, err := ns.Stat()
	if err != nil {
		return err
	}
	errs := make([]error, len(n.list))
	var wg sync.WaitGroup
	for i, j := range n.list {
		if j.net != nil && os.SameFile(j.own, own) {
			continue
		}
		if j.net != nil { // its init was replaced by another
			j.leave()
		}
		j.own = own
		wg.Go(func() { errs[i] = j.join(n.request(c, j), ns) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// request asks for the membership of c.
func (n *Nets) request(c *state.Container, j *joining) member.Request {
	r := JoinRequest(c, j.network, j.use, j.lease)
	r.Member.Order, r.Member.PID = j.order, os.Getpid()
	if r.Member.Interface == "" {
		r.Member.Interface = "eth" + strconv.Itoa(j.order)
	}
	if j.order == n.portsAt() {
		r.Ports = Ports(c.Spec, c.Image)
	}
	return r
}

// portsAt is the network at which ports are published: the first that has a way
// out.
func (n *Nets) portsAt() int {
	return max(0, slices.IndexFunc(n.list, func(j *joining) bool { return !j.network.Internal }))
}

// JoinRequest is what a container joins a network with.
func JoinRequest(c *state.Container, n spec.Network, use spec.NetworkUse, l network.Lease) member.Request {
	m := &member.Member{
		ID: c.ID, Name: c.Name, IPv4: ip.Text(l.IPv4), IPv6: ip.Text(l.IPv6), MAC: l.MAC, Interface: use.Interface, MTU: use.MTU, Host: c.Spec.HostLoopback,
		Egress: c.Spec.Egress,
	}
	return member.Request{Op: member.Join, Network: &n, Store: storeOf(c.Store()), Member: m}
}

func storeOf(s state.Store) member.Store { return member.Store{Dir: s.Dir, Run: s.Run, Realm: s.Realm} }

// join joins with the connection that warmed the network's process, or another one
// where that is gone.
func (j *joining) join(r member.Request, ns *os.File) error {
	var got member.Entered
	err := j.ready()
	if err == nil {
		got.Reply, got.Files, err = j.conn.Ask(r, ns)
	}
	if member.Lost(err) {
		j.leave()
		j.conn, got, err = member.Enter(j.dir, r, ns)
	}
	if err != nil {
		return explainNet(j.network.Name, err)
	}
	if len(got.Files) != 1 {
		return fmt.Errorf("network %s: its process gave no namespace", j.network.Name)
	}
	r.Ports = got.Ports
	j.net = &monitor.Net{Dir: j.dir, Join: r, Conn: j.conn, NS: got.Files[0]}
	return nil
}

// ready waits for the network's process to have its stack.
func (j *joining) ready() error {
	if j.conn == nil {
		return member.ErrLost
	}
	if j.warm == nil {
		return nil
	}
	err := <-j.warm
	j.warm = nil
	if errors.Is(err, member.ErrOldProcess) {
		return nil // it starts the stack when it is joined
	}
	return err
}

// explainNet passes the advice of the network's process on.
func explainNet(name string, err error) error {
	e, ok := errors.AsType[*member.Error](err)
	if !ok {
		return fmt.Errorf("network %s: %w", name, err)
	}
	if errors.Is(err, member.ErrOldProcess) {
		return problem.Hint(fmt.Errorf("network %s: %w", name, member.ErrOldProcess), "stop the containers that are in it, and start them again")
	}
	if e.Hint == "" {
		return err
	}
	return problem.Hint(err, "%s", e.Hint)
}

// leave ends what there is of a membership.
func (j *joining) leave() {
	if j.net != nil {
		_ = j.net.NS.Close()
	}
	if j.conn != nil {
		_ = j.conn.Close()
	}
	j.conn, j.net, j.warm = nil, nil, nil
}

// Close ends the memberships that nobody took.
func (n *Nets) Close() error {
	if n != nil {
		n.busy.Wait()
		for _, j := range n.list {
			j.leave()
		}
		if n.running != nil {
			return n.running.Close()
		}
	}
	return nil
}

// take hands the memberships, or the program in place of them, over to who looks after
// the container.
func (n *Nets) take() ([]*monitor.Net, *monitor.Program) {
	if n == nil {
		return nil, nil
	}
	if n.running != nil {
		p := n.running
		n.running = nil
		return nil, &monitor.Program{Child: p.Child, Plan: p.Plan}
	}
	out := make([]*monitor.Net, 0, len(n.list))
	for _, j := range n.list {
		out = append(out, j.net)
	}
	n.list = nil
	return out, nil
}

// ports are the published ones, as they are.
func (n *Nets) ports() []spec.Port {
	if n == nil {
		return nil
	}
	if n.running != nil {
		return n.running.Ports
	}
	var out []spec.Port
	for _, j := range n.list {
		if j.net != nil {
			out = append(out, j.net.Join.Ports...)
		}
	}
	return out
}

// leased is a network with what a container has there.
type leased struct {
	network spec.Network
	lease   network.Lease
}

// leased are the networks, in order.
func (n *Nets) leased() []leased {
	if n == nil {
		return nil
	}
	out := make([]leased, 0, len(n.list))
	for _, j := range n.list {
		out = append(out, leased{j.network, j.lease})
	}
	return out
}
