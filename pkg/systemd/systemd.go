// Package systemd asks the user's service manager for scopes: units made of
// processes that somebody else has started (systemd.scope(5)).
//
// Only the manager can move a process out of a login session into a part of the
// cgroup tree that is the user's, and it does so over D-Bus
// (org.freedesktop.systemd1(5)).
package systemd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/godbus/dbus/v5"
)

// Address is where the manager can be reached.
type Address struct {
	Path string // of a socket in the file system
	Bus  bool   // a message bus is there, else the manager itself
}

// Manager is a connection to the user's manager.
type Manager struct {
	conn    *dbus.Conn
	object  dbus.BusObject
	signals chan *dbus.Signal
	watched bool
	bus     bool
}

const (
	service     = "org.freedesktop.systemd1"
	objectPath  = "/org/freedesktop/systemd1"
	managerName = service + ".Manager"
	busName     = "org.freedesktop.DBus"
)

// ErrNone means that no manager of the user runs.
var ErrNone = errors.New("no systemd user manager to be reached")

// Connect connects to the first of addresses that answers. ErrNone: nobody listens.
func Connect(ctx context.Context, addresses []Address) (*Manager, error) {
	var errs []error
	for _, a := range addresses {
		m, err := connect(ctx, a)
		if err == nil {
			return m, nil
		}
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ECONNREFUSED) {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return nil, ErrNone
}

func connect(ctx context.Context, a Address) (*Manager, error) {
	raw, err := (&net.Dialer{}).DialContext(ctx, "unix", a.Path)
	if err != nil {
		return nil, fmt.Errorf("connect to systemd: %w", err)
	}
	socket, ok := raw.(*net.UnixConn)
	if !ok {
		return nil, fmt.Errorf("connect to systemd: %s: not a unix socket", a.Path)
	}
	// What is waited for here ends with the connection, also when the peer is mute.
	stop := context.AfterFunc(ctx, func() { socket.Close() })
	conn, err := dbus.DialUnix(socket)
	if err == nil {
		err = conn.Auth([]dbus.Auth{kernelSays{}})
		if err == nil && a.Bus {
			err = conn.Hello()
		}
	}
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		socket.Close()
		return nil, fmt.Errorf("connect to systemd: %s: %w", a.Path, err)
	}
	m := &Manager{conn: conn, object: conn.Object(service, objectPath), bus: a.Bus}
	if a.Bus {
		err = m.present(ctx)
	} else {
		err = m.wake(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// kernelSays has the peer ask the kernel who we are (D-Bus specification, EXTERNAL
// without an identity). In a user namespace we would call ourselves by a number that
// is another user's to it.
type kernelSays struct{}

func (kernelSays) FirstData() (name, resp []byte, st dbus.AuthStatus) {
	return []byte("EXTERNAL"), nil, dbus.AuthOk
}

func (kernelSays) HandleData([]byte) ([]byte, dbus.AuthStatus) { return nil, dbus.AuthError }

// nudge is after what time without an answer a manager is asked again; it doubles.
const nudge = time.Millisecond / 2

// wake makes sure that the manager answers. The first call follows the end of the
// authentication without a pause, and one that is busy reads both at once: then it
// (257, at least) leaves the call lying until it has something else to read.
func (m *Manager) wake(ctx context.Context) error {
	const enough = 32 // nobody waits that long
	answers := make(chan *dbus.Call, enough)
	for try := range enough {
		m.object.GoWithContext(ctx, "org.freedesktop.DBus.Peer.Ping", 0, answers)
		select {
		case <-answers: // an error is an answer, and one of the connection comes again
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(nudge << min(try, 10)):
		}
	}
	return errors.New("no answer")
}

// present makes sure that systemd is on the bus: other sessions have one too.
func (m *Manager) present(ctx context.Context) error {
	var has bool
	if err := m.conn.BusObject().CallWithContext(ctx, busName+".NameHasOwner", 0, service).Store(&has); err != nil {
		return fmt.Errorf("ask the session bus for systemd: %w", err)
	}
	if !has {
		return fmt.Errorf("%s is not on the session bus: %w", service, fs.ErrNotExist)
	}
	return nil
}

// Close ends the connection. It may be called more than once, and on nil.
func (m *Manager) Close() error {
	if m == nil {
		return nil
	}
	err := m.conn.Close()
	if errors.Is(err, dbus.ErrClosed) {
		err = nil
	}
	return err
}

// ControlGroup is the manager's own group, as /proc/PID/cgroup names it. All units
// are below.
func (m *Manager) ControlGroup(ctx context.Context) (string, error) {
	s, err := get(ctx, m.object, managerName, "ControlGroup")
	if err != nil {
		return "", fmt.Errorf("ask systemd for its control group: %w", err)
	}
	return s, nil
}

// get returns a property that is a string.
func get(ctx context.Context, o dbus.BusObject, iface, name string) (s string, err error) {
	var v dbus.Variant
	if err := o.CallWithContext(ctx, "org.freedesktop.DBus.Properties.Get", 0, iface, name).Store(&v); err != nil {
		return "", err
	}
	return s, v.Store(&s)
}

// Delegated reports whether a unit, NAME.scope or NAME.service, was made with
// Delegate=yes. A user's manager leaves no mark of it on the group, as the system's
// does.
func (m *Manager) Delegated(ctx context.Context, unit string) (yes bool, err error) {
	kind := map[string]string{".scope": "Scope", ".service": "Service"}[filepath.Ext(unit)]
	if kind == "" {
		return false, nil
	}
	var path dbus.ObjectPath
	if err := m.object.CallWithContext(ctx, managerName+".GetUnit", 0, unit).Store(&path); err != nil {
		return false, fmt.Errorf("look at %s: %w", unit, err)
	}
	var v dbus.Variant
	err = m.conn.Object(service, path).CallWithContext(ctx, "org.freedesktop.DBus.Properties.Get", 0, service+"."+kind, "Delegate").Store(&v)
	if err == nil {
		err = v.Store(&yes)
	}
	if err != nil {
		return false, fmt.Errorf("look at %s: %w", unit, err)
	}
	return yes, nil
}

// AskDelegated connects for the question whether unit is Delegated; false where there is
// nobody to ask.
func AskDelegated(ctx context.Context, addresses []Address, unit string) (bool, error) {
	m, err := Connect(ctx, addresses)
	if errors.Is(err, ErrNone) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer m.Close()
	return m.Delegated(ctx, unit)
}

// Scope is a scope to be made.
type Scope struct {
	Name        string // NAME.scope
	Slice       string // NAME.slice; empty: the manager's default
	Description string
	PIDs        []int // the processes that it begins with
}

// property is what StartTransientUnit takes.
type property struct {
	Name  string
	Value dbus.Variant
}

// auxiliary units are part of the call's signature; there are none.
type auxiliary struct {
	Name       string
	Properties []property
}

func (s *Scope) properties() []property {
	pids := make([]uint32, len(s.PIDs))
	for i, p := range s.PIDs {
		pids[i] = uint32(p) //nolint:gosec // a pid
	}
	list := []property{
		{"Description", dbus.MakeVariant(s.Description)},
		{"PIDs", dbus.MakeVariant(pids)},
		{"Delegate", dbus.MakeVariant(true)},
		{"CollectMode", dbus.MakeVariant("inactive-or-failed")}, // nothing of it stays behind
	}
	if s.Slice != "" {
		list = append(list, property{"Slice", dbus.MakeVariant(s.Slice)})
	}
	return list
}

// StartScope makes a scope with Delegate=yes and returns when its processes are in
// it. Where a scope of that name is ending it waits for that.
func (m *Manager) StartScope(ctx context.Context, s Scope) error {
	if err := m.watch(ctx); err != nil {
		return err
	}
	for {
		err := m.startOnce(ctx, &s)
		if !isError(err, "UnitExists") {
			return err
		}
		state, serr := m.activeState(ctx, s.Name)
		if serr != nil {
			return errors.Join(err, serr)
		}
		switch state {
		case "active", "activating":
			// Its last process may have ended a moment ago; the manager hears of that
			// from the kernel, and tells us.
			if err := m.awaitUnit(ctx, s.Name); err != nil {
				return fmt.Errorf("start %s: it exists: %w", s.Name, err)
			}
		case "": // gone meanwhile
		case "failed":
			_ = m.object.CallWithContext(ctx, managerName+".ResetFailedUnit", 0, s.Name).Err // the next attempt tells
		default:
			if err := m.awaitUnit(ctx, s.Name); err != nil {
				return fmt.Errorf("start %s: %w", s.Name, err)
			}
		}
	}
}

func (m *Manager) startOnce(ctx context.Context, s *Scope) error {
	var job dbus.ObjectPath
	err := m.object.CallWithContext(ctx, managerName+".StartTransientUnit", 0, s.Name, "fail", s.properties(), []auxiliary{}).Store(&job)
	if err != nil {
		return fmt.Errorf("start %s: %w", s.Name, err)
	}
	for {
		sig, err := m.next(ctx)
		if err != nil {
			return fmt.Errorf("start %s: %w", s.Name, err)
		}
		if sig.Name != managerName+".JobRemoved" || len(sig.Body) != 4 || sig.Body[1] != job {
			continue
		}
		if result := sig.Body[3]; result != "done" {
			return fmt.Errorf("start %s: systemd says: %v", s.Name, result)
		}
		return nil
	}
}

// watch has signals delivered. To a peer that is not a bus they come unasked.
func (m *Manager) watch(ctx context.Context) error {
	if m.watched {
		return nil
	}
	const some = 64 // the manager also tells of everybody else's
	m.signals = make(chan *dbus.Signal, some)
	m.conn.Signal(m.signals)
	m.watched = true
	if !m.bus {
		return nil
	}
	for _, member := range []string{"JobRemoved", "UnitRemoved"} {
		err := m.conn.AddMatchSignalContext(ctx, dbus.WithMatchInterface(managerName), dbus.WithMatchMember(member))
		if err != nil {
			return fmt.Errorf("listen to systemd: %w", err)
		}
	}
	if err := m.object.CallWithContext(ctx, managerName+".Subscribe", 0).Err; err != nil && !isError(err, "AlreadySubscribed") {
		return fmt.Errorf("listen to systemd: %w", err)
	}
	return nil
}

func (m *Manager) next(ctx context.Context) (*dbus.Signal, error) {
	select {
	case sig, ok := <-m.signals:
		if !ok {
			return nil, errors.New("systemd closed the connection")
		}
		return sig, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// awaitUnit waits until the unit is gone.
func (m *Manager) awaitUnit(ctx context.Context, name string) error {
	for {
		sig, err := m.next(ctx)
		if err != nil {
			return err
		}
		if sig.Name == managerName+".UnitRemoved" && len(sig.Body) == 2 && sig.Body[0] == name {
			return nil
		}
	}
}

// activeState is the unit's, "" if it is not loaded.
func (m *Manager) activeState(ctx context.Context, name string) (string, error) {
	return m.property(ctx, name, service+".Unit", "ActiveState")
}

// property is one of a unit, "" if that is not loaded.
func (m *Manager) property(ctx context.Context, name, iface, key string) (string, error) {
	var path dbus.ObjectPath
	err := m.object.CallWithContext(ctx, managerName+".GetUnit", 0, name).Store(&path)
	if isError(err, "NoSuchUnit") {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("look at %s: %w", name, err)
	}
	s, err := get(ctx, m.conn.Object(service, path), iface, key)
	if isError(err, "NoSuchUnit") || isError(err, "UnknownObject") {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("look at %s: %w", name, err)
	}
	return s, nil
}

// Attach moves processes into a group below a unit's. sub begins with a slash.
func (m *Manager) Attach(ctx context.Context, unit, sub string, pids ...int) error {
	list := make([]uint32, len(pids))
	for i, p := range pids {
		list[i] = uint32(p) //nolint:gosec // a pid
	}
	if err := m.object.CallWithContext(ctx, managerName+".AttachProcessesToUnit", 0, unit, sub, list).Err; err != nil {
		return fmt.Errorf("attach to %s: %w", unit, err)
	}
	return nil
}

// isError reports whether the peer answered with an error of that name.
func isError(err error, name string) bool {
	e, ok := errors.AsType[dbus.Error](err)
	return ok && slices.Contains([]string{service + "." + name, busName + ".Error." + name}, e.Name)
}

// CheckSlice reports what is wrong with the name of a slice (systemd.slice(5)).
func CheckSlice(name string) error {
	stem, ok := strings.CutSuffix(name, ".slice")
	if !ok || stem == "" || strings.Contains(name, "/") || strings.HasPrefix(stem, "-") || strings.HasSuffix(stem, "-") || strings.Contains(stem, "--") {
		return fmt.Errorf("cgroup parent %q: systemd wants NAME.slice, dashes between the parts of NAME", name)
	}
	return nil
}
