package vm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"reflect"
	"strings"
	"testing"

	"github.com/nook-containers/nook/test/machine"
	"github.com/nook-containers/nook/test/vm/wire"
)

// connected returns a VM whose agent is the test, which has read the request when
// agent is called.
func connected(t *testing.T, agent func(wire.Request, *json.Encoder)) *VM {
	t.Helper()
	ours, theirs := net.Pipe()
	v := &VM{conn: ours, answers: make(chan wire.Answer)}
	go receive(ours, v.answers)
	go func() {
		defer theirs.Close()
		var r wire.Request
		if json.NewDecoder(theirs).Decode(&r) == nil {
			agent(r, json.NewEncoder(theirs))
		}
	}()
	t.Cleanup(func() { ours.Close() })
	return v
}

func TestRun(t *testing.T) {
	odd := []byte("a\x00\xff\n")
	v := connected(t, func(r wire.Request, to *json.Encoder) {
		if !reflect.DeepEqual(r, wire.Request{Args: []string{"a", "b c"}, Env: []string{"K=V"}}) {
			t.Errorf("asked for %+v", r)
		}
		for _, a := range []wire.Answer{{Stream: wire.Stdout, Data: odd}, {Stream: wire.Stderr, Data: []byte("e")}, {Stream: wire.Stdout, Data: []byte("2")}, {Done: true, Status: 9}} {
			if err := to.Encode(a); err != nil {
				t.Error(err)
			}
		}
	})
	var out, errs bytes.Buffer
	status, err := v.Run(t.Context(), machine.Command{Args: []string{"a", "b c"}, Env: []string{"K=V"}, Out: &out, Err: &errs})
	if err != nil || status != 9 || out.String() != string(odd)+"2" || errs.String() != "e" {
		t.Errorf("status %d, error %v, stdout %q, stderr %q", status, err, out.String(), errs.String())
	}
}

func TestRunFails(t *testing.T) {
	for name, tc := range map[string]struct {
		answers []wire.Answer
		want    string
	}{
		"machine ends":       {nil, "the machine ended"},
		"no status":          {[]wire.Answer{{Done: true, Error: "no such program"}}, "no such program"},
		"a stream of no use": {[]wire.Answer{{Stream: 5, Data: []byte("x")}}, "stream 5"},
	} {
		t.Run(name, func(t *testing.T) {
			v := connected(t, func(_ wire.Request, to *json.Encoder) {
				for _, a := range tc.answers {
					if err := to.Encode(a); err != nil {
						t.Error(err)
					}
				}
			})
			if _, err := v.Run(t.Context(), machine.Command{Args: []string{"x"}}); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want %q", err, tc.want)
			}
		})
	}
}

func TestRunIsBounded(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	late := errors.New("too late")
	ctx, cancel := context.WithCancelCause(t.Context())
	v := connected(t, func(wire.Request, *json.Encoder) { cancel(late); <-hang })
	if _, err := v.Run(ctx, machine.Command{Args: []string{"x"}}); !errors.Is(err, late) {
		t.Errorf("error %v", err)
	}
}
