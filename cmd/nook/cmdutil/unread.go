package cmdutil

import (
	"context"
	"syscall"

	"github.com/nook-containers/nook/pkg/sys"
)

// errUnread ends a program as SIGPIPE does, without a word.
var errUnread = &ExitError{Code: 128 + int(syscall.SIGPIPE)}

// WhileRead returns a context that ends, besides, when nobody reads standard output
// any more: who follows something, as in "nook logs -f web | grep -m 1 ready", need
// not wait for the next line to find that out.
func (f *Factory) WhileRead(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if sys.AwaitUnread(ctx, f.Out) == nil {
			cancel(errUnread)
		}
	}()
	return ctx, func() {
		cancel(nil)
		<-done // who reads learns of the end when standard output is closed
	}
}
