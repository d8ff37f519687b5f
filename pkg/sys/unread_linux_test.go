package sys

import (
	"context"
	"errors"
	"io"
	"os"
	"testing"
)

func TestAwaitUnread(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	ended := make(chan error, 1)
	go func() { ended <- AwaitUnread(t.Context(), w) }()
	if _, err := w.WriteString("unread"); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		t.Fatal("a reader is there: ", err)
	default:
	}
	r.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// One that is told to stop keeps nothing open: the reader sees the end.
func TestAwaitUnreadStops(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- AwaitUnread(ctx, w) }()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
	w.Close()
	if rest, err := io.ReadAll(r); len(rest) > 0 || err != nil {
		t.Errorf("%q, %v", rest, err)
	}
}
