package journal

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nook-containers/nook/pkg/logs"
	"github.com/nook-containers/nook/pkg/problem"
)

// process is one journalctl.
type process struct {
	entries chan entry // closed at its end
	failed  error      // once entries is closed
	stop    func()
}

// start runs journalctl until it ends, or stop is called or ctx ends.
func start(ctx context.Context, prog string, args []string) (*process, error) {
	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, prog, args...) //nolint:gosec // a fixed program
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		return nil, problem.Hint(fmt.Errorf("read the journal: %w", err), "install systemd's journalctl, or run the container with --log-driver k8s-file")
	}
	p := &process{entries: make(chan entry), stop: cancel}
	go func() {
		defer close(p.entries)
		defer cancel()
		err := p.decode(ctx, out)
		if err != nil {
			cancel() // it may have more to say, which nobody reads
		}
		werr := cmd.Wait()
		switch {
		case err != nil:
			p.failed = fmt.Errorf("read the journal: %w", err)
		case werr != nil:
			p.failed = fmt.Errorf("journalctl: %w: %s", werr, strings.TrimSpace(stderr.String()))
		}
	}()
	return p, nil
}

// decode passes entries on.
func (p *process) decode(ctx context.Context, out io.Reader) error {
	dec := json.NewDecoder(bufio.NewReader(out))
	for {
		var f fields
		if err := dec.Decode(&f); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		e, err := f.entry()
		if err != nil {
			return err
		}
		select {
		case p.entries <- e:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// entry is one entry of a container.
type entry struct {
	rec    logs.Record
	cursor string
	end    string // the run that ends here; such an entry is no output
}

// fields are what journalctl's JSON has of an entry: text is a string, bytes that
// are no text an array of numbers (systemd.io, "Journal Export Formats").
type fields struct {
	Message  json.RawMessage `json:"MESSAGE"`
	Priority string          `json:"PRIORITY"`
	Partial  string          `json:"CONTAINER_PARTIAL_MESSAGE"`
	Stamp    string          `json:"SYSLOG_TIMESTAMP"`
	Received string          `json:"__REALTIME_TIMESTAMP"` // microseconds since 1970
	Cursor   string          `json:"__CURSOR"`
	End      string          `json:"NOOK_RUN"`
}

func (f *fields) entry() (entry, error) {
	e := entry{cursor: f.Cursor, end: f.End, rec: logs.Record{Partial: f.Partial == "true"}}
	if e.end != "" {
		return e, nil
	}
	if f.Priority == logs.PriorityStderr {
		e.rec.Stream = logs.Stderr
	}
	var err error
	// The container's own time is exact, the journal's has microseconds.
	if e.rec.Time, err = time.Parse(time.RFC3339Nano, f.Stamp); err != nil {
		micros, err := strconv.ParseInt(f.Received, 10, 64)
		if err != nil {
			return e, errEntry("time " + strconv.Quote(f.Received))
		}
		e.rec.Time = time.UnixMicro(micros)
	}
	var text string
	if json.Unmarshal(f.Message, &text) == nil {
		e.rec.Line = []byte(text)
		return e, nil
	}
	var codes []uint8Number
	if err := json.Unmarshal(f.Message, &codes); err != nil {
		return e, errEntry("message")
	}
	for _, c := range codes {
		e.rec.Line = append(e.rec.Line, byte(c))
	}
	return e, nil
}

// uint8Number is a byte as a JSON number: encoding/json takes []byte for base64.
type uint8Number uint8
