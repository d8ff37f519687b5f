// Package logs keeps what a container writes: drivers that store it in bounds,
// and readers that show it again.
//
// # Theory of operation
//
// The process that looks after a container reads its pipes and hands each chunk
// to a Writer, with the time. The Writer cuts it into records, one a line, and
// writes all records of the chunk with one write(2), or a few for a large one.
// Nothing is held back: a line without its newline is written at once as a
// partial record, which the next one of its stream goes on with. So the end of
// the process, even by SIGKILL, loses no line that was handed over. (The
// exceptions are a rune cut in two, which JSON cannot hold, and the journal,
// which cannot join entries: they keep the rest of a line until it goes on.)
//
// A log is a file BASE and, older ones first, BASE.1, BASE.2 and so on: its
// generations. When the next record would make BASE larger than its limit, the
// Writer deletes the oldest generations, renames BASE to the next number, and
// makes a new BASE with O_EXCL. Numbers only grow, so a reader knows which
// generation follows the one it has open, whatever was renamed meanwhile, and how
// many it missed. The newest number always stays, as an empty file where a log
// has but one generation.
//
// A record is whole once its newline is in the file. A reader takes whole records
// only and comes back to the place after the last one, so that it never shows
// half a record of a write that goes on, or was cut by a full disk and taken back.
// A Writer that opens a log which ends in half a record ends its line.
//
// A container must never wait for its log, or fail with it: a Writer that cannot
// write drops the records, counts them, and tries again with the next. It tells
// the count when it is closed.
//
// The package is linked into an early stage of the program: it imports little.
// Package journal reads what the journald driver wrote.
package logs

import (
	"errors"
	"fmt"
	"time"
)

// Drivers.
const (
	K8sFile     = "k8s-file"    // "TIME STREAM F|P LINE", as Kubernetes' CRI has it
	JSONFile    = "json-file"   // an object a line, as Docker has it
	Journald    = "journald"    // the journal's native protocol
	None        = "none"        // nothing is kept
	Passthrough = "passthrough" // the container has nook's own descriptors; nothing is kept
	// PassthroughTTY is Passthrough where these may be a terminal, into which the
	// container can push keys then (TIOCSTI).
	PassthroughTTY = "passthrough-tty"
)

// Drivers lists them.
func Drivers() []string {
	return []string{K8sFile, JSONFile, Journald, None, Passthrough, PassthroughTTY}
}

// Bounds of a log that names none.
const (
	DefaultMaxSize  = 16 << 20 // bytes of one file
	DefaultMaxFiles = 2
)

// Unlimited is a MaxSize without limit.
const Unlimited = -1

// Stream says which of its outputs a container wrote to. A container with a
// terminal has Stdout alone.
type Stream uint8

// Streams.
const (
	Stdout Stream = iota
	Stderr
	streams // how many
)

func (s Stream) String() string {
	if s == Stderr {
		return "stderr"
	}
	return "stdout"
}

// Config says where a container's output goes. It survives JSON, and with it an
// execve.
type Config struct {
	Driver   string `json:"driver"`
	Path     string `json:"path,omitempty"`     // absolute; file drivers only
	MaxSize  int64  `json:"maxSize,omitempty"`  // bytes of one file; 0: DefaultMaxSize; Unlimited
	MaxFiles int    `json:"maxFiles,omitempty"` // with the one being written; 0: DefaultMaxFiles
	Tag      string `json:"tag,omitempty"`      // json-file and journald; empty: none

	// Whose output it is; for the journal.
	ID    string `json:"id,omitempty"`
	Name  string `json:"name,omitempty"`
	Image string `json:"image,omitempty"`
	Run   string `json:"run,omitempty"` // names this run of it, among all
}

// Writer stores output. Its methods may be called by several goroutines.
type Writer interface {
	// Write stores what one read gave, without keeping p. An error says that
	// records were dropped, and why: a caller that only counts may ignore it,
	// since Close tells the sum. Write never waits for a reader of the log.
	Write(s Stream, p []byte, now time.Time) error
	// Close writes what is left. Its error is a *LostError if the log is not
	// complete.
	Close() error
}

// LostError means that a log lacks records that could not be written.
type LostError struct {
	Log     string // file, or socket
	Records int64
	Err     error // the latest cause
}

func (e *LostError) Error() string {
	return fmt.Sprintf("log %s: %d lines lost: %v", e.Log, e.Records, e.Err)
}

func (e *LostError) Unwrap() error { return e.Err }

// ErrDriver means an unknown log driver.
var ErrDriver = errors.New("unknown log driver")

// Open opens the log that c describes. An existing one is continued.
func Open(c Config) (Writer, error) {
	switch c.Driver {
	case K8sFile:
		return openFile(c, &k8sEncoder{})
	case JSONFile:
		return openFile(c, newJSONEncoder(c.Tag))
	case Journald:
		return openJournal(c, JournalSocket)
	case None, Passthrough, PassthroughTTY:
		return discard{}, nil
	}
	return nil, fmt.Errorf("%w %q", ErrDriver, c.Driver)
}

type discard struct{}

func (discard) Write(Stream, []byte, time.Time) error { return nil }
func (discard) Close() error                          { return nil }

// PassesThrough reports whether a driver gives the container nook's own descriptors.
func PassesThrough(driver string) bool { return driver == Passthrough || driver == PassthroughTTY }

// HasFiles reports whether a driver keeps its log in files of its own.
func HasFiles(driver string) bool { return driver == K8sFile || driver == JSONFile }
