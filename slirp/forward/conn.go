package forward

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/nook-containers/nook/pkg/sys/inet"
)

// A Conn is a connection of the host. It has what *net.TCPConn has of this, at the
// cost of five system calls less: package net asks for both addresses, and sets
// options that are the default or that nobody wants here.
type Conn struct {
	f   *os.File
	raw syscall.RawConn
}

// DialTCP opens a connection to dst, waiting at most wait. Keep-alive is off:
// probes are the affair of the two ends, and an idle guest must cost nothing.
func DialTCP(ctx context.Context, dst netip.AddrPort, wait time.Duration) (*Conn, error) {
	s, err := inet.OpenTCP(dst)
	if err != nil {
		return nil, err
	}
	done, err := s.Connect()
	// The poller gets the socket now, since it tells of what is new only.
	c := &Conn{f: os.NewFile(uintptr(s.FD), "")} //nolint:gosec // a descriptor
	if err == nil {
		c.raw, err = c.f.SyscallConn()
	}
	if err == nil && !done {
		err = c.await(ctx, s, wait)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", dst, err), c.f.Close())
	}
	return c, nil
}

// await waits until s is connected.
func (c *Conn) await(ctx context.Context, s *inet.TCPSocket, wait time.Duration) error {
	armed := false
	stop := func() bool { return true }
	defer func() { stop() }()
	var failed error
	err := c.raw.Write(func(uintptr) (done bool) {
		if done, failed = s.Connect(); done || armed {
			return done
		}
		armed = true
		failed = c.f.SetWriteDeadline(time.Now().Add(wait))
		stop = context.AfterFunc(ctx, func() { _ = c.f.SetWriteDeadline(time.Unix(1, 0)) })
		return failed != nil
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err == nil {
		err = failed
	}
	if err == nil && armed {
		err = c.f.SetWriteDeadline(time.Time{})
	}
	return err
}

// SyscallConn gives the descriptor.
func (c *Conn) SyscallConn() (syscall.RawConn, error) { return c.raw, nil }

// SetReadDeadline is *net.TCPConn's.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.f.SetReadDeadline(t) }

// Close is *net.TCPConn's.
func (c *Conn) Close() error { return c.f.Close() }

// CloseWrite is *net.TCPConn's.
func (c *Conn) CloseWrite() error { return c.control(inet.Shut) }

// Reset closes the connection with a reset.
func (c *Conn) Reset() error { return errors.Join(c.control(inet.ResetOnClose), c.f.Close()) }

func (c *Conn) control(fn func(fd int) error) (err error) {
	if e := c.raw.Control(func(fd uintptr) { err = fn(int(fd)) }); e != nil {
		return e
	}
	return err
}
