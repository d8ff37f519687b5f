package member

import (
	"encoding/json"
	"errors"
	"os"
	"testing"

	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/pkg/sys"
)

// answering is a connection to a process that gives every request one reply.
func answering(t *testing.T, reply Reply, files ...*os.File) *Conn {
	t.Helper()
	ours, theirs, err := sys.SocketPair()
	if err != nil {
		t.Fatal(err)
	}
	c, p := NewConn(ours), sys.NewPacketConn(theirs)
	t.Cleanup(func() { c.Close(); p.Close() })
	go func() {
		for {
			if _, _, err := p.Receive(MaxMessage, 1); err != nil {
				return
			}
			data, _ := json.Marshal(reply)
			_ = p.Send(data, files...)
		}
	}()
	return c
}

// TestOldProcessKeepsNoRules: a process that does not say that it keeps the rules of
// egress is not joined.
func TestOldProcessKeepsNoRules(t *testing.T) {
	none := []string{"none"}
	for name, tc := range map[string]struct {
		request Request
		limited bool
		old     bool
	}{
		"no rules":           {Request{Op: Join, Member: &Member{}, Network: &spec.Network{}}, false, false},
		"of the container":   {Request{Op: Join, Member: &Member{Egress: none}, Network: &spec.Network{}}, false, true},
		"of the network":     {Request{Op: Join, Member: &Member{}, Network: &spec.Network{Egress: none}}, false, true},
		"and they are kept":  {Request{Op: Join, Member: &Member{Egress: none}, Network: &spec.Network{}}, true, false},
		"prepared, not join": {Request{Op: Prepare, Network: &spec.Network{Egress: none}}, false, false},
	} {
		_, files, err := answering(t, Reply{Version: Version, Limited: tc.limited}, os.Stderr).Ask(tc.request)
		if got := errors.Is(err, ErrOldProcess); got != tc.old || err != nil && !got || (len(files) == 1) == tc.old {
			t.Errorf("%s: %v, with %d files", name, err, len(files))
		}
		closeAll(files)
	}
}
