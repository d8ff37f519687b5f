package logs

import (
	"context"
	"errors"
	"io"
	"sync"
)

// Sink takes the records of several sources.
type Sink interface {
	// Put takes a record of source i. r.Line is valid during the call.
	Put(i int, r Record) error
	// Flush is called when there is nothing more to put at present.
	Flush() error
}

// Show puts the records of all sources into out, by time, and if follow is set
// goes on with what comes until every source has ended. Calls of out never
// overlap.
func Show(ctx context.Context, sources []Source, out Sink, follow bool) error { //nolint:revive // the user's wish
	if err := merge(ctx, sources, out); err != nil || !follow {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i, s := range sources {
		wg.Go(func() {
			if err := pursue(ctx, s, &numbered{out, i, &mu}); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// merge takes what all sources have now. A line stays in one piece.
func merge(ctx context.Context, sources []Source, out Sink) error {
	heads, have := make([]Record, len(sources)), make([]bool, len(sources))
	pull := func(i int) (err error) {
		heads[i], err = sources[i].Next()
		have[i] = err == nil
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	}
	for i := range sources {
		if err := pull(i); err != nil {
			return err
		}
	}
	for at := -1; ctx.Err() == nil; {
		if at < 0 || !have[at] {
			at = earliest(heads, have)
		}
		if at < 0 {
			return out.Flush()
		}
		partial := heads[at].Partial
		if err := out.Put(at, heads[at]); err != nil {
			return err
		}
		if err := pull(at); err != nil {
			return err
		}
		if !partial {
			at = -1
		}
	}
	return context.Cause(ctx)
}

func earliest(heads []Record, have []bool) int {
	at := -1
	for i, r := range heads {
		if have[i] && (at < 0 || r.Time.Before(heads[at].Time)) {
			at = i
		}
	}
	return at
}

// numbered is one source's way into a shared sink.
type numbered struct {
	out Sink
	i   int
	mu  *sync.Mutex
}

func (n *numbered) put(r Record) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.out.Put(n.i, r)
}

func (n *numbered) flush() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.out.Flush()
}

// pursue puts what a source gets from now on.
func pursue(ctx context.Context, s Source, out *numbered) error {
	for {
		err := s.Wait(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for {
			r, err := s.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return err
			}
			if err := out.put(r); err != nil {
				return err
			}
		}
		if err := out.flush(); err != nil {
			return err
		}
	}
}
