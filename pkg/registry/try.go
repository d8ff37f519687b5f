package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"
)

// leastProgress is what an attempt must receive per Options.Stall, in bytes. Less
// is as good as nothing: at 1 KiB a minute an image takes weeks.
const leastProgress = 1 << 10

// maxRetryAfter bounds the wait that a registry may ask for.
const maxRetryAfter = 2 * time.Minute

// try is one attempt at a request. Its context ends when the server stops sending.
type try struct {
	clock  Clock
	stall  time.Duration
	ctx    context.Context //nolint:containedctx // lives as long as one request
	cancel context.CancelCauseFunc

	authenticated int // the authorization this attempt made, see session.attempt
}

func (c *Client) newTry(ctx context.Context) *try {
	ctx, cancel := context.WithCancelCause(ctx)
	return &try{clock: c.o.Clock, stall: c.o.Stall, ctx: ctx, cancel: cancel}
}

// arm watches a wait for the whole of Options.Stall. Call disarm after it.
func (t *try) arm() (disarm func()) { return t.armFor(t.stall) }

func (t *try) armFor(d time.Duration) (disarm func()) {
	stop := t.clock.AfterFunc(d, func() { t.cancel(fmt.Errorf("%w for %v", errStalled, t.stall)) })
	return func() { stop() }
}

// fault names the reason when err only says that the context ended.
func (t *try) fault(err error) error {
	if cause := context.Cause(t.ctx); cause != nil && err != nil && !errors.Is(err, io.EOF) {
		return cause
	}
	return err
}

// body watches reads from rc. Closing it ends the attempt.
func (t *try) body(rc io.ReadCloser) io.ReadCloser {
	return &watchedBody{rc: rc, t: t, left: t.stall}
}

// watchedBody counts only the time inside Read: a slow disk at this end is not a
// slow registry.
type watchedBody struct {
	rc   io.ReadCloser
	t    *try
	left time.Duration // until the attempt counts as stalled
	got  int           // bytes since left was full
}

func (b *watchedBody) Read(p []byte) (int, error) {
	start := b.t.clock.Now()
	disarm := b.t.armFor(b.left)
	n, err := b.rc.Read(p)
	disarm()
	if b.got += n; b.got >= leastProgress {
		b.got, b.left = 0, b.t.stall
	} else {
		b.left = max(b.left-b.t.clock.Now().Sub(start), 1)
	}
	return n, b.t.fault(err)
}

func (b *watchedBody) Close() error {
	b.t.cancel(context.Canceled)
	return b.rc.Close()
}

// fetch sends a GET request, again after transient faults, until the answer has
// one of the wanted statuses.
func (s *session) fetch(ctx context.Context, path string, h http.Header, want ...int) (*http.Response, error) {
	failed := 0
	return s.fetchAgain(ctx, path, h, &failed, want...)
}

// fetchAgain is fetch after *failed attempts have failed already.
func (s *session) fetchAgain(ctx context.Context, path string, h http.Header, failed *int, want ...int) (*http.Response, error) {
	for {
		resp, err := s.fetchOnce(ctx, path, h, want)
		if err == nil {
			return resp, nil
		}
		if err := s.pause(ctx, *failed, err); err != nil {
			return nil, err
		}
		*failed++
	}
}

func (s *session) fetchOnce(ctx context.Context, path string, h http.Header, want []int) (*http.Response, error) {
	t := s.c.newTry(ctx)
	resp, err := s.send(t.ctx, path, h, t)
	if err != nil {
		err = t.fault(err)
		t.cancel(err)
		return nil, err
	}
	resp.Body = t.body(resp.Body)
	if slices.Contains(want, resp.StatusCode) {
		return resp, nil
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusUnauthorized {
		return nil, s.unauthorized(readFailure(resp))
	}
	return nil, readFailure(resp)
}

// pause waits before the next attempt after n+1 have failed, the last with err.
// It returns the error to give up with.
func (s *session) pause(ctx context.Context, n int, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	s.mu.Lock()
	talked := s.talked
	s.mu.Unlock()
	if !transient(err, talked) {
		return err
	}
	if n >= s.c.o.Retries {
		if n > 0 {
			err = fmt.Errorf("gave up after %d attempts: %w", n+1, err)
		}
		return err
	}
	d := s.c.delay(n, err)
	s.c.o.Notice(fmt.Sprintf("%s: %v; trying again in %v", s.ep.Ref.Host, err, d))
	return s.c.o.Clock.Sleep(ctx, d)
}

// delay is the wait before attempt n+2. A Retry-After counts if it is longer.
func (c *Client) delay(n int, err error) time.Duration {
	d := c.o.RetryDelay
	if d <= 0 {
		d = time.Second << min(n, 6)
		d = min(d, time.Minute)
	}
	if e, ok := errors.AsType[*StatusError](err); ok {
		d = max(d, min(e.after, maxRetryAfter))
	}
	return d
}
