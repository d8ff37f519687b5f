package monitor

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/nook-containers/nook/libpod/attach"
	"github.com/nook-containers/nook/libpod/events"
	"github.com/nook-containers/nook/libpod/health"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/pkg/cgroups"
	"github.com/nook-containers/nook/pkg/sys"
)

// ProbeName is argv[0] of the process that runs one health check, as "nook exec"
// runs a command. Descriptor ProbeFD is its connection to the monitor, which sends
// a ProbeCall as the Open frame. The monitor itself is too small to enter a
// container.
const (
	ProbeName = "nook-probe"
	ProbeFD   = 3
)

// ProbeCall asks for a command in a container.
type ProbeCall struct {
	Container string          `json:"container"` // id
	Args      []string        `json:"args"`
	Resume    json.RawMessage `json:"resume"` // Monitor.Resume
}

// probeGrace is how long the process of a check may take to end after its command
// was killed.
const probeGrace = 2 * time.Second

// doctor looks after the container's health.
type doctor struct {
	m     *Monitor
	plan  health.Plan      // the goroutine's of health.Run
	plans chan health.Plan // the next one; has room for it
	asks  chan health.Ask
	gone  context.Context //nolint:containedctx // it is the container's life
	end   context.CancelFunc
	ended chan struct{}
	again bool // the container is to be started again; written before ended is closed
}

// startDoctor returns nil if there is no health check.
func (m *Monitor) startDoctor(ctx context.Context, plan *health.Plan, started time.Time) *doctor {
	if plan == nil {
		return nil
	}
	d := &doctor{m: m, plan: *plan, plans: make(chan health.Plan, 1), asks: make(chan health.Ask), ended: make(chan struct{})}
	d.gone, d.end = context.WithCancel(ctx)
	go func() {
		defer close(d.ended)
		health.Run(d.gone, health.NewChecker(*plan, started), d.asks, d.plans, health.Hooks{Exec: d.exec, Told: d.told, Act: d.act, Planned: d.planned, Still: d.still})
	}()
	return d
}

// stop ends a check that is going on. It reports whether the container is to be
// started again because of its health.
func (d *doctor) stop() bool {
	if d == nil {
		return false
	}
	d.end()
	<-d.ended
	return d.again && !d.m.Container.Spec.Remove && !Stopped(d.m.Container)
}

// practice has the doctor of the container, who may change while it runs.
type practice struct {
	m    *Monitor
	life context.Context //nolint:containedctx // it is the container's

	mu     sync.Mutex
	doctor *doctor // nil: there is no health check
	sick   bool    // what a doctor said who left
	closed bool
}

func (m *Monitor) openPractice(ctx context.Context) *practice {
	c := m.Container
	return &practice{m: m, life: ctx, doctor: m.startDoctor(ctx, health.PlanOf(c.Spec.Health, c.Image.Health), time.Now())}
}

// close ends it, and reports what stop does.
func (p *practice) close() (sick bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	return p.doctor.stop() || p.sick
}

// ask has the container checked now.
func (p *practice) ask() (health.Answer, error) {
	p.mu.Lock()
	d := p.doctor
	p.mu.Unlock()
	return d.ask()
}

// change has the container checked as its record says now: after the check that is
// going on, if there is one.
func (p *practice) change() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return errEnding
	}
	c := *p.m.Container // which others read meanwhile
	if err := c.Reload(); err != nil {
		return err
	}
	plan := health.PlanOf(c.Spec.Health, c.Image.Health)
	switch {
	case plan == nil:
		p.sick = p.doctor.stop() || p.sick
		p.doctor = nil
	case p.doctor == nil:
		p.doctor = p.m.startDoctor(p.life, plan, p.m.Run.Started)
	default:
		select {
		case <-p.doctor.plans: // it has not got to that one
		default:
		}
		p.doctor.plans <- *plan
	}
	return nil
}

// ask has the container checked now.
func (d *doctor) ask() (health.Answer, error) {
	if d == nil {
		return health.Answer{}, ErrNoHealthCheck
	}
	a := make(health.Ask, 1)
	select {
	case d.asks <- a:
	case <-d.gone.Done():
		return health.Answer{}, errEnding
	}
	if answer, ok := <-a; ok {
		return answer, nil
	}
	return health.Answer{}, errEnding
}

// planned is the hook of health.Run.
func (d *doctor) planned(p health.Plan) { d.plan = p }

// ErrNoHealthCheck means that nothing says how to check a container's health.
var ErrNoHealthCheck = errors.New("has no health check")

var errEnding = errors.New("the container ended")

// still is asked of the kernel each time: nobody tells a monitor of a pause.
func (d *doctor) still() bool {
	frozen, err := cgroups.Frozen(d.m.Run.Cgroup)
	return err == nil && frozen
}

// told keeps a result.
func (d *doctor) told(now health.Report, changed bool) { //nolint:revive // a fact
	defer d.m.rest.soon() // nothing is to be done until the next check
	c := d.m.Container
	_ = health.Write(c.RunDir(), now) // inspect shows the one before
	if d.plan.LogTo != spec.HealthLogLocal && d.plan.LogTo != spec.HealthLogEvents {
		_ = health.Publish(d.plan.LogTo, c.ID, now) // as above
	}
	logged := d.plan.LogTo == spec.HealthLogEvents && len(now.Log) > 0
	if !changed && !logged {
		return
	}
	add := []func(*events.Event){events.Health(now.Status, now.FailingStreak)}
	if logged {
		last := now.Log[len(now.Log)-1]
		add = append(add, events.Attribute("health_log", last.Output), events.Attribute("health_exit_code", strconv.Itoa(last.ExitCode)))
	}
	events.Tell(c, events.HealthStatus, add...)
}

// act does what is to be done with a container that is not healthy.
func (d *doctor) act(what string) {
	c := d.m.Container
	switch what {
	case spec.HealthActKill:
		d.signal(events.Kill, syscall.SIGKILL)
		return
	case spec.HealthActStop:
		_ = MarkStopped(c) // then its restart policy decides
	case spec.HealthActRestart:
		d.again = true
	}
	d.signal(events.Stop, d.m.StopSignal)
	timer := time.NewTimer(d.m.StopGrace)
	defer timer.Stop()
	select {
	case <-d.gone.Done():
	case <-timer.C:
		d.signal(events.Kill, syscall.SIGKILL)
	}
}

func (d *doctor) signal(action string, sig syscall.Signal) {
	events.Tell(d.m.Container, action, events.Attribute("signal", strconv.Itoa(int(sig))))
	_ = sys.PidfdSignal(d.m.First, sig) // it may have ended
}

// exec runs one check in a process of its own. What keeps that from running is its
// output, and it has failed.
func (d *doctor) exec(ctx context.Context, command []string) (code int, output string) {
	conn, process, err := d.probe(command)
	if err != nil {
		return failed, err.Error()
	}
	defer conn.Close()
	over := context.AfterFunc(ctx, func() {
		_ = conn.Write(attach.Signal, []byte{byte(syscall.SIGKILL)}) // it may have ended
		late := time.AfterFunc(probeGrace, func() { _ = process.Kill() })
		_, _ = process.Wait()
		late.Stop()
	})
	out := &beginning{limit: d.plan.LogSize}
	exit, err := (&attach.Client{Out: out, Err: out}).Run(conn)
	if over() {
		_, err2 := process.Wait()
		err = errors.Join(err, err2)
	}
	switch {
	case err != nil:
		return failed, out.String() + err.Error()
	case exit.Error != "":
		return exit.Code, out.String() + exit.Error
	}
	return exit.Code, out.String()
}

func (d *doctor) probe(command []string) (*attach.Conn, *os.Process, error) {
	ours, theirs, err := sys.StreamPair()
	if err != nil {
		return nil, nil, err
	}
	defer theirs.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, nil, errors.Join(err, ours.Close())
	}
	defer null.Close()
	p, err := os.StartProcess("/proc/self/exe", []string{ProbeName}, &os.ProcAttr{
		Env: os.Environ(), Files: []*os.File{null, null, null, ProbeFD: theirs}, //nolint:forbidigo // handed on unread
	})
	if err != nil {
		return nil, nil, errors.Join(err, ours.Close())
	}
	conn := attach.New(ours)
	if err := conn.WriteJSON(attach.Open, ProbeCall{Container: d.m.Container.ID, Args: command, Resume: d.m.Resume}); err != nil {
		_, werr := p.Wait()
		return nil, nil, errors.Join(err, werr, conn.Close())
	}
	return conn, p, nil
}

// beginning keeps the first bytes that are written to it, and takes all. Output
// comes from one goroutine.
type beginning struct {
	limit int
	p     []byte
}

func (b *beginning) Write(p []byte) (int, error) {
	b.p = append(b.p, p[:min(len(p), b.limit-len(b.p))]...)
	return len(p), nil
}

func (b *beginning) String() string { return string(b.p) }
