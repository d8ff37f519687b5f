package attach

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
)

// pair connects a client to a fake container that echoes its input.
func serveEcho(t *testing.T, c Container) (*Conn, *Hub) {
	t.Helper()
	h := NewHub(c)
	conn := join(t, h, Options{Owner: true})
	h.Start()
	return conn, h
}

// join connects one more client.
func join(t *testing.T, h *Hub, o Options) *Conn {
	t.Helper()
	a, b := net.Pipe()
	t.Cleanup(func() { a.Close(); b.Close() })
	server := New(b)
	h.Serve(server, o)
	go func() { _ = server.WriteJSON(Started, Start{}) }() // the pipe has no buffer
	return New(a)
}

func TestStreamsArriveBitForBit(t *testing.T) {
	data := make([]byte, 5<<20)
	rand.Read(data)
	inR, inW := io.Pipe()
	conn, s := serveEcho(t, Container{Stdin: inW, Stdout: inR})
	go func() {
		s.Drained()
		s.End(Exit{Code: 3})
	}()
	var out bytes.Buffer
	exit, err := (&Client{In: bytes.NewReader(data), Out: &out}).Run(conn)
	if err != nil || exit.Code != 3 {
		t.Fatalf("exit %+v, %v", exit, err)
	}
	if !bytes.Equal(out.Bytes(), data) {
		t.Errorf("sent %d bytes, %d came back, or they differ", len(data), out.Len())
	}
}

// A container that reads nothing must not keep a signal from arriving.
func TestSignalPassesStuckInput(t *testing.T) {
	_, inW := io.Pipe() // never read
	outR, outW := io.Pipe()
	got := make(chan syscall.Signal, 1)
	conn, s := serveEcho(t, Container{Stdin: inW, Stdout: outR, Signal: func(sig syscall.Signal) error {
		got <- sig
		outW.Close()
		return nil
	}})
	go func() {
		s.Drained()
		s.End(Exit{})
	}()
	signals := make(chan os.Signal, 1)
	signals <- syscall.SIGTERM
	endless := &Client{In: zeros{}, Out: io.Discard, Signals: signals}
	if _, err := endless.Run(conn); err != nil {
		t.Fatal(err)
	}
	if sig := <-got; sig != syscall.SIGTERM {
		t.Errorf("got %v", sig)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestDetachLeavesTheContainer(t *testing.T) {
	outR, _ := io.Pipe() // stays open: the container lives on
	inR, inW := io.Pipe()
	conn, s := serveEcho(t, Container{Stdin: inW, Stdout: outR, TTY: true})
	typed := make(chan string, 1)
	go func() {
		b := make([]byte, 16)
		n, _ := inR.Read(b)
		typed <- string(b[:n])
	}()
	_, err := (&Client{In: bytes.NewReader([]byte("hi\x10\x11rest")), Out: io.Discard, Keys: []byte("\x10\x11")}).Run(conn)
	if !errors.Is(err, ErrDetached) {
		t.Fatalf("got %v, want ErrDetached", err)
	}
	if got := <-typed; got != "hi" {
		t.Errorf("the container got %q", got)
	}
	if c := s.sessions(); len(c) > 0 {
		<-c[0].Left()
	}
}

// The monitor hangs up as soon as it is told: that is no loss of it.
func TestDetachBeforeTheConnectionEnds(t *testing.T) {
	for range 100 {
		a, b := net.Pipe()
		server := New(b)
		go func() {
			_ = server.WriteJSON(Started, Start{})
			for {
				if t, _, err := server.Read(); err != nil || t == Detach {
					b.Close()
					return
				}
			}
		}()
		_, err := (&Client{In: strings.NewReader("\x10\x11"), Out: io.Discard, Keys: []byte("\x10\x11")}).Run(New(a))
		if !errors.Is(err, ErrDetached) {
			t.Fatalf("got %v, want ErrDetached", err)
		}
	}
}

func TestLostMonitor(t *testing.T) {
	a, b := net.Pipe()
	b.Close()
	if _, err := (&Client{Out: io.Discard}).Run(New(a)); !errors.Is(err, ErrLost) {
		t.Errorf("got %v, want ErrLost", err)
	}
}

func TestOutputGoesOnWithoutClient(t *testing.T) {
	outR, outW := io.Pipe()
	conn, s := serveEcho(t, Container{Stdout: outR})
	conn.Close()
	for range 100 {
		if _, err := outW.Write([]byte("a line nobody reads\n")); err != nil {
			t.Fatal(err)
		}
	}
	outW.Close()
	s.Drained()
}

// Two clients see the same, and each goes without the other.
func TestTwoClients(t *testing.T) {
	outR, outW := io.Pipe()
	first, h := serveEcho(t, Container{Stdout: outR})
	second := join(t, h, Options{})
	got := make(chan string, 2)
	for _, conn := range []*Conn{first, second} {
		go func() {
			var out bytes.Buffer
			_, err := (&Client{Out: &out}).Run(conn)
			got <- fmt.Sprint(out.String(), err)
		}()
	}
	if _, err := io.WriteString(outW, "to all"); err != nil {
		t.Fatal(err)
	}
	outW.Close()
	h.Drained()
	h.End(Exit{})
	for range 2 {
		if s := <-got; s != "to all<nil>" {
			t.Errorf("got %q", s)
		}
	}
}

// A client that does not read holds nobody up for ever, unless the container is
// its own.
func TestSlowClientIsLeft(t *testing.T) {
	outR, outW := io.Pipe()
	h := NewHub(Container{Stdout: outR})
	join(t, h, Options{}) // never reads
	slow := h.sessions()[0]
	h.Start()
	chunk := make([]byte, 64<<10)
	for range 2 * Lag / len(chunk) {
		if _, err := outW.Write(chunk); err != nil {
			t.Fatal(err)
		}
	}
	<-slow.Left()
	outW.Close()
	h.Drained()
	h.End(Exit{})
}

func TestQuietClientHearsOfTheEnd(t *testing.T) {
	outR, outW := io.Pipe()
	h := NewHub(Container{Stdout: outR})
	conn := join(t, h, Options{NoOutput: true})
	h.Start()
	go func() {
		_, _ = io.WriteString(outW, "not for it")
		outW.Close()
		h.Drained()
		h.End(Exit{Code: 5})
	}()
	var out bytes.Buffer
	exit, err := (&Client{Out: &out}).Run(conn)
	if err != nil || exit.Code != 5 || out.Len() > 0 {
		t.Errorf("got %+v, %v, %q", exit, err, out.String())
	}
}
