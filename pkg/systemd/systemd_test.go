package systemd

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

// fake is a peer that speaks D-Bus and answers calls by their member names.
type fake struct {
	t       *testing.T
	path    string
	answer  func(f *fake, m *dbus.Message) []any // an error is sent as one; nil: no answer
	conn    net.Conn
	serial  uint32
	members []string // that were called, but Ping
	sleeps  bool     // the first call is answered when there is another
	done    chan struct{}
}

func listen(t *testing.T, answer func(*fake, *dbus.Message) []any) *fake {
	t.Helper()
	f := &fake{t: t, path: filepath.Join(t.TempDir(), "s"), answer: answer, done: make(chan struct{})}
	l, err := net.Listen("unix", f.path)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(f.done)
		if f.conn, err = l.Accept(); err == nil {
			f.serve()
			f.conn.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-f.done })
	return f
}

func (f *fake) serve() {
	in := bufio.NewReader(f.conn)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		word := strings.Fields(strings.TrimLeft(line, "\x00"))
		switch {
		case len(word) == 2 && word[1] == "EXTERNAL":
			f.write("DATA\r\n") // who are you?
		case len(word) == 1 && word[0] == "DATA":
			f.write("OK 0123456789abcdef0123456789abcdef\r\n")
		case word[0] == "NEGOTIATE_UNIX_FD":
			f.write("ERROR\r\n")
		case word[0] == "BEGIN":
			f.calls(in)
			return
		default:
			f.write("REJECTED EXTERNAL\r\n")
		}
	}
}

func (f *fake) write(s string) { _, _ = f.conn.Write([]byte(s)) }

func (f *fake) calls(in *bufio.Reader) {
	for {
		m, err := dbus.DecodeMessage(in)
		if err != nil {
			return
		}
		member, _ := m.Headers[dbus.FieldMember].Value().(string)
		if f.sleeps {
			f.sleeps = false
			continue
		}
		if member == "Ping" {
			f.reply(m, ok)
			continue
		}
		f.members = append(f.members, member)
		if body := f.answer(f, m); body != nil {
			f.reply(m, body)
		}
	}
}

func (f *fake) send(m *dbus.Message, body []any) {
	f.serial++
	if len(body) > 0 {
		m.Body = body
		m.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(body...))
	}
	if err := m.EncodeTo(serialWriter{f}, binary.LittleEndian); err != nil {
		f.t.Error(err)
	}
}

// serialWriter puts a serial, which the package keeps to itself, into the header.
type serialWriter struct{ f *fake }

func (w serialWriter) Write(p []byte) (int, error) {
	binary.LittleEndian.PutUint32(p[8:], w.f.serial)
	return w.f.conn.Write(p)
}

func (f *fake) reply(to *dbus.Message, body []any) {
	m := &dbus.Message{Type: dbus.TypeMethodReply, Headers: map[dbus.HeaderField]dbus.Variant{dbus.FieldReplySerial: dbus.MakeVariant(to.Serial())}}
	if e, ok := body[0].(dbus.Error); ok {
		m.Type = dbus.TypeError
		m.Headers[dbus.FieldErrorName] = dbus.MakeVariant(e.Name)
		body = []any{"refused"}
	}
	if body[0] == (struct{}{}) {
		body = nil
	}
	f.send(m, body)
}

func (f *fake) signal(member string, body ...any) {
	f.send(&dbus.Message{Type: dbus.TypeSignal, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldPath: dbus.MakeVariant(dbus.ObjectPath(objectPath)), dbus.FieldInterface: dbus.MakeVariant(managerName),
		dbus.FieldMember: dbus.MakeVariant(member),
	}}, body)
}

func connectTo(t *testing.T, f *fake, bus bool) *Manager {
	t.Helper()
	gone := Address{Path: filepath.Join(t.TempDir(), "nobody")}
	m, err := Connect(t.Context(), []Address{gone, {f.path, bus}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		<-f.done
	})
	return m
}

const job = dbus.ObjectPath("/org/freedesktop/systemd1/job/7")

var ok = []any{struct{}{}}

// properties of the StartTransientUnit call m.
func properties(m *dbus.Message) map[string]any {
	got := map[string]any{}
	list, _ := m.Body[2].([][]any)
	for _, p := range list {
		name, _ := p[0].(string)
		v, _ := p[1].(dbus.Variant)
		got[name] = v.Value()
	}
	return got
}

func TestStartScope(t *testing.T) {
	for name, bus := range map[string]bool{"manager": false, "bus": true} {
		t.Run(name, func(t *testing.T) {
			var got map[string]any
			f := listen(t, func(f *fake, m *dbus.Message) []any {
				switch f.members[len(f.members)-1] {
				case "Hello":
					return []any{":1.1"}
				case "NameHasOwner":
					return []any{true}
				case "StartTransientUnit":
					if m.Body[0] != "x.scope" || m.Body[1] != "fail" {
						f.t.Errorf("start %v", m.Body[:2])
					}
					got = properties(m)
					f.signal("JobRemoved", uint32(6), dbus.ObjectPath("/other"), "y.scope", "failed")
					f.signal("JobRemoved", uint32(7), job, "x.scope", "done") // before the reply, as happens
					return []any{job}
				}
				return ok
			})
			m := connectTo(t, f, bus)
			if err := m.StartScope(t.Context(), Scope{Name: "x.scope", Slice: "a.slice", Description: "d", PIDs: []int{3, 4}}); err != nil {
				t.Fatal(err)
			}
			if pids, _ := got["PIDs"].([]uint32); !slices.Equal(pids, []uint32{3, 4}) || got["Delegate"] != true || got["Slice"] != "a.slice" {
				t.Errorf("properties %v", got)
			}
			if subscribed := slices.Contains(f.members, "Subscribe"); subscribed != bus {
				t.Errorf("calls %v", f.members)
			}
		})
	}
}

func TestStartScopeFails(t *testing.T) {
	f := listen(t, func(f *fake, _ *dbus.Message) []any {
		f.signal("JobRemoved", uint32(7), job, "x.scope", "timeout")
		return []any{job}
	})
	err := connectTo(t, f, false).StartScope(t.Context(), Scope{Name: "x.scope"})
	if err == nil || !strings.Contains(err.Error(), "start x.scope: systemd says: timeout") {
		t.Errorf("got %v", err)
	}
}

// A scope of the same name that is about to go is waited for; what failed is
// forgotten.
func TestStartScopeAgain(t *testing.T) {
	for state, want := range map[string]string{
		"active": "StartTransientUnit GetUnit Get StartTransientUnit", "deactivating": "StartTransientUnit GetUnit Get StartTransientUnit",
		"failed": "StartTransientUnit GetUnit Get ResetFailedUnit StartTransientUnit", "": "StartTransientUnit GetUnit StartTransientUnit",
	} {
		t.Run(state, func(t *testing.T) {
			starts := 0
			f := listen(t, func(f *fake, _ *dbus.Message) []any {
				switch f.members[len(f.members)-1] {
				case "StartTransientUnit":
					if starts++; starts == 1 {
						return []any{dbus.Error{Name: service + ".UnitExists"}}
					}
					f.signal("JobRemoved", uint32(7), job, "x.scope", "done")
					return []any{job}
				case "GetUnit":
					if state == "" {
						return []any{dbus.Error{Name: service + ".NoSuchUnit"}}
					}
					return []any{dbus.ObjectPath("/unit")}
				case "Get":
					f.signal("UnitRemoved", "other.scope", dbus.ObjectPath("/o"))
					f.signal("UnitRemoved", "x.scope", dbus.ObjectPath("/unit"))
					return []any{dbus.MakeVariant(state)}
				}
				return ok
			})
			if err := connectTo(t, f, false).StartScope(t.Context(), Scope{Name: "x.scope"}); err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(f.members, " "); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

func TestAttachAndControlGroup(t *testing.T) {
	f := listen(t, func(f *fake, m *dbus.Message) []any {
		switch f.members[len(f.members)-1] {
		case "AttachProcessesToUnit":
			if pids, _ := m.Body[2].([]uint32); m.Body[0] != "x.scope" || m.Body[1] != "/c" || !slices.Equal(pids, []uint32{9}) {
				f.t.Errorf("attach %v", m.Body)
			}
			return ok
		case "Get":
			return []any{dbus.MakeVariant("/user.slice/u")}
		}
		return nil
	})
	m := connectTo(t, f, false)
	if err := m.Attach(t.Context(), "x.scope", "/c", 9); err != nil {
		t.Error(err)
	}
	if s, err := m.ControlGroup(t.Context()); err != nil || s != "/user.slice/u" {
		t.Errorf("got %q, %v", s, err)
	}
}

// TestWake: a manager may leave the first call of a connection lying until the next.
func TestWake(t *testing.T) {
	f := listen(t, func(*fake, *dbus.Message) []any { return []any{dbus.MakeVariant("/user.slice/u")} })
	f.sleeps = true
	m := connectTo(t, f, false)
	if s, err := m.ControlGroup(t.Context()); err != nil || s != "/user.slice/u" {
		t.Errorf("got %q, %v", s, err)
	}
}

func TestDelegated(t *testing.T) {
	f := listen(t, func(f *fake, m *dbus.Message) []any {
		switch f.members[len(f.members)-1] {
		case "GetUnit":
			return []any{dbus.ObjectPath("/unit")}
		case "Get":
			return []any{dbus.MakeVariant(m.Body[0] == "org.freedesktop.systemd1.Scope" && m.Body[1] == "Delegate")}
		}
		return nil
	})
	m := connectTo(t, f, false)
	for unit, want := range map[string]bool{"a.scope": true, "a.service": false, "a.slice": false, "a": false} {
		if got, err := m.Delegated(t.Context(), unit); got != want || err != nil {
			t.Errorf("%s: %v, %v", unit, got, err)
		}
	}
}

// A peer that says nothing holds nobody up for ever.
func TestMutePeer(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Connect(ctx, []Address{{Path: l.Addr().String()}}); err == nil {
		t.Error("connected")
	}
	f := listen(t, func(*fake, *dbus.Message) []any { return nil })
	m := connectTo(t, f, false)
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := m.StartScope(ctx, Scope{Name: "x.scope"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestNobodyThere(t *testing.T) {
	if _, err := Connect(t.Context(), []Address{{Path: filepath.Join(t.TempDir(), "s")}}); !errors.Is(err, ErrNone) {
		t.Errorf("got %v", err)
	}
	f := listen(t, func(f *fake, _ *dbus.Message) []any {
		if f.members[len(f.members)-1] == "Hello" {
			return []any{":1.1"}
		}
		return []any{false}
	})
	if _, err := Connect(t.Context(), []Address{{f.path, true}}); !errors.Is(err, ErrNone) {
		t.Errorf("a bus without systemd: %v", err)
	}
}

func TestCheckSlice(t *testing.T) {
	for name, good := range map[string]bool{
		"user.slice": true, "my-own.slice": true, "x": false, ".slice": false, "a/b.slice": false, "-a.slice": false, "a-.slice": false, "a--b.slice": false,
	} {
		if err := CheckSlice(name); (err == nil) != good {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A scope that runs is taken as it is; one that ends is waited for.
func TestEnsureScope(t *testing.T) {
	for state, want := range map[string]string{
		"active":       "StartTransientUnit GetUnit Get GetUnit Get",
		"deactivating": "StartTransientUnit GetUnit Get GetUnit Get StartTransientUnit",
		"activating":   "StartTransientUnit GetUnit Get GetUnit Get StartTransientUnit",
		"failed":       "StartTransientUnit GetUnit Get GetUnit Get ResetFailedUnit StartTransientUnit",
		"":             "StartTransientUnit GetUnit GetUnit StartTransientUnit",
	} {
		t.Run(state, func(t *testing.T) {
			starts := 0
			f := listen(t, func(f *fake, m *dbus.Message) []any {
				switch f.members[len(f.members)-1] {
				case "StartTransientUnit":
					if starts++; starts == 1 {
						return []any{dbus.Error{Name: service + ".UnitExists"}}
					}
					f.signal("JobRemoved", uint32(7), job, "x.scope", "done")
					return []any{job}
				case "GetUnit":
					if state == "" {
						return []any{dbus.Error{Name: service + ".NoSuchUnit"}}
					}
					return []any{dbus.ObjectPath("/unit")}
				case "Get":
					if m.Body[1] == "ControlGroup" {
						return []any{dbus.MakeVariant("/user.slice/x.scope")}
					}
					f.signal("UnitRemoved", "x.scope", dbus.ObjectPath("/unit"))
					return []any{dbus.MakeVariant(state)}
				}
				return ok
			})
			group, err := connectTo(t, f, false).EnsureScope(t.Context(), Scope{Name: "x.scope"})
			if (group == "/user.slice/x.scope") != (state == "active") || err != nil {
				t.Errorf("got %q, %v", group, err)
			}
			if got := strings.Join(f.members, " "); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}
