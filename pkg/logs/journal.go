package logs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/pkg/sys/kern"
)

// JournalSocket is where journald takes entries (systemd.io, "Native Journal
// Protocol").
const JournalSocket = "/run/systemd/journal/socket"

// Fields of an entry, as docker-logs and podman-logs look for them; Docker
// documents them in "Journald logging driver".
const (
	FieldMessage = "MESSAGE"
	FieldIDFull  = "CONTAINER_ID_FULL"
	FieldPartial = "CONTAINER_PARTIAL_MESSAGE"
	FieldTime    = "SYSLOG_TIMESTAMP" // TimeFormat
)

// Fields of the entry behind the last one of a run: the journal takes entries in when
// it gets round to it, but in order. It has none of the fields above, so that nobody
// takes it for output.
const (
	FieldEnd    = "NOOK_LOG_END" // the container's full id
	FieldEndRun = "NOOK_RUN"     // Config.Run
)

// Priorities (syslog(3)) by which readers tell the streams apart.
const (
	PriorityStdout = "6" // informational
	PriorityStderr = "3" // error
)

// journalPatience bounds how long a container waits for a journal that does not
// keep up. After a wait that was in vain nothing waits until an entry got through.
const journalPatience = time.Second

// shortID is how many digits CONTAINER_ID has.
const shortID = 12

// journal is the Writer of journald: one datagram an entry, one entry a line.
type journal struct {
	mu     sync.Mutex
	sock   *os.File
	path   string
	common []byte // fields of every entry
	end    []byte // the last entry; empty: none
	buf    []byte
	carry  [streams][]byte // the beginning of a line
	stuck  bool            // the last send waited in vain
	lost   int64
	cause  error
}

func openJournal(c Config, path string) (*journal, error) {
	sock, err := sys.DialDatagram(path, journalPatience)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	w := &journal{sock: sock, path: path}
	identifier := c.Name
	if c.Tag != "" {
		identifier = c.Tag
	}
	for _, f := range [][2]string{
		{"CONTAINER_ID", c.ID[:min(len(c.ID), shortID)]},
		{FieldIDFull, c.ID},
		{"CONTAINER_NAME", c.Name},
		{"CONTAINER_TAG", c.Tag},
		{"IMAGE_NAME", c.Image},
		{"SYSLOG_IDENTIFIER", identifier},
	} {
		if f[1] != "" {
			w.common = appendField(w.common, f[0], []byte(f[1]))
		}
	}
	if c.Run != "" {
		w.end = appendField(appendField(nil, FieldEnd, []byte(c.ID)), FieldEndRun, []byte(c.Run))
	}
	return w, nil
}

// appendField appends a field of the native protocol: NAME=VALUE, or where the
// value has a newline, NAME, its length as 64 little-endian bits, and VALUE.
func appendField(buf []byte, name string, value []byte) []byte {
	buf = append(buf, name...)
	if bytes.IndexByte(value, '\n') < 0 {
		buf = append(append(buf, '='), value...)
	} else {
		buf = binary.LittleEndian.AppendUint64(append(buf, '\n'), uint64(len(value)))
		buf = append(buf, value...)
	}
	return append(buf, '\n')
}

// Write implements Writer.
func (w *journal) Write(s Stream, p []byte, now time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.lost
	if held := w.carry[s]; len(held) > 0 {
		p = append(held, p...)
		w.carry[s] = nil
	}
	for len(p) > 0 {
		one, rest := cut(p)
		if !one.whole && len(one.text) < MaxPiece {
			w.carry[s] = bytes.Clone(one.text)
			break
		}
		w.send(s, one, now)
		p = rest
	}
	if w.lost != before {
		return w.cause
	}
	return nil
}

// send sends one entry.
func (w *journal) send(s Stream, p piece, now time.Time) {
	priority := PriorityStdout
	if s == Stderr {
		priority = PriorityStderr
	}
	b := append(w.buf[:0], w.common...)
	b = appendField(b, "PRIORITY", []byte(priority))
	b = appendField(b, FieldTime, now.UTC().AppendFormat(nil, TimeFormat))
	if !p.whole {
		b = appendField(b, FieldPartial, []byte("true"))
	}
	b = appendField(b, FieldMessage, p.text)
	w.buf = b
	err := sys.SendDatagram(w.sock, !w.stuck, b)
	if sys.TooLong(err) {
		err = w.sendFile(b)
	}
	if err != nil {
		err = w.again(b, err)
	}
	w.stuck = err != nil
	if err != nil {
		w.lost++
		w.cause = err
	}
}

// again sends an entry on a new connection, if the journal was restarted.
func (w *journal) again(b []byte, err error) error {
	if !sys.Disconnected(err) {
		return err
	}
	sock, derr := sys.DialDatagram(w.path, journalPatience)
	if derr != nil {
		return errors.Join(err, derr)
	}
	w.sock.Close()
	w.sock = sock
	return sys.SendDatagram(w.sock, false, b)
}

// sendFile sends an entry that is too long for a datagram as a sealed file.
func (w *journal) sendFile(b []byte) error {
	fd, err := kern.Memfd("journal entry", b)
	if err != nil {
		return fmt.Errorf("memfd_create: %w", err)
	}
	defer kern.Close(fd)
	if err := kern.Seal(fd); err != nil {
		return fmt.Errorf("seal: %w", err)
	}
	return sys.SendDatagram(w.sock, !w.stuck, nil, fd)
}

// Close implements Writer.
func (w *journal) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for s, held := range w.carry {
		if len(held) > 0 {
			w.send(Stream(s), piece{text: held}, time.Now()) //nolint:gosec // two streams
		}
	}
	if len(w.end) > 0 {
		_ = sys.SendDatagram(w.sock, !w.stuck, w.end) // nothing of the output is lost with it
	}
	err := w.sock.Close()
	if w.lost > 0 {
		return &LostError{Log: w.path, Records: w.lost, Err: w.cause}
	}
	return err
}
