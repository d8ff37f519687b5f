package sys

import (
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
	go func() { ended <- AwaitUnread(w) }()
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
