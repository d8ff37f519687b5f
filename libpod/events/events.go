// Package events is the log of what happened to containers and images: one line
// of JSON each in a file of bounded size. It imports little, since every monitor
// writes to it.
//
// # Theory of operation
//
// Writers append whole lines with one write(2) each, which the kernel does not
// mix (O_APPEND, open(2)), and take no lock. Who finds the file too long renames
// it to the older one's name, under a lock, so that only one does. A reader takes
// the older file and then the newer, and follows by watching the directory. A line
// cut short by a crash or a full disk is skipped.
package events

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"time"

	"github.com/nook-containers/nook/libpod/pod"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/sys"
)

// Types.
const (
	Container = "container"
	Image     = "image"
	Volume    = "volume"
	Pod       = "pod"
	System    = "system"
)

// Actions, as podman-events(1) has them.
const (
	Attach  = "attach"
	Create  = "create"
	Died    = "died"
	Import  = "import"
	Kill    = "kill"
	Load    = "loadfromarchive"
	Prune   = "prune"
	Pull    = "pull"
	Remove  = "remove"
	Rename  = "rename"
	Restart = "restart"
	Start   = "start"
	Stop    = "stop"
	Tag     = "tag"
	Untag   = "untag"
)

// Event is one thing that happened.
type Event struct {
	Time       time.Time         `json:"time"`
	Type       string            `json:"type"`
	Action     string            `json:"action"`
	ID         string            `json:"id,omitempty"`
	Name       string            `json:"name,omitempty"`
	Image      string            `json:"image,omitempty"` // of a container
	ExitCode   *int              `json:"exitCode,omitempty"`
	Attributes map[string]string `json:"attributes,omitempty"` // labels, and what an action adds
}

const (
	logFile = "log"
	oldFile = "log.1"
)

// maxSize is where a new file is begun, in bytes. Two files of it hold some ten
// thousand events.
const maxSize = 1 << 20

// Log is the log in a directory.
type Log struct{ Dir string }

// Of is the log that belongs to a store of containers.
func Of(s state.Store) Log { return Log{filepath.Join(s.Dir, "events")} }

// Tell appends that action happened to c. That it cannot is nobody's failure: the
// log is for those who look.
func Tell(c *state.Container, action string, change ...func(*Event)) {
	e := Event{
		Time: time.Now(), Type: Container, Action: action, ID: c.ID, Name: c.Name, Image: c.ImageName,
		Attributes: map[string]string{},
	}
	for _, labels := range []map[string]string{c.Image.Labels, c.Spec.Labels} {
		maps.Copy(e.Attributes, labels)
	}
	for _, f := range change {
		f(&e)
	}
	_ = Of(c.Store()).Append(e)
}

// TellPod appends that action happened to p, as Tell does.
func TellPod(p *pod.Pod, action string, change ...func(*Event)) {
	e := Event{Time: time.Now(), Type: Pod, Action: action, ID: p.ID, Name: p.Name, Attributes: map[string]string{}}
	maps.Copy(e.Attributes, p.Spec.Labels)
	for _, f := range change {
		f(&e)
	}
	_ = Of(p.Containers()).Append(e)
}

// ExitCode adds how a container ended.
func ExitCode(code int) func(*Event) { return func(e *Event) { e.ExitCode = &code } }

// Attribute adds a detail.
func Attribute(key, value string) func(*Event) {
	return func(e *Event) { e.Attributes[key] = value }
}

// Append writes e.
func (l Log) Append(e Event) error {
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	f, err := l.open()
	if err != nil {
		return fmt.Errorf("write event: %w", err)
	}
	defer f.Close()
	if _, err := f.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("write event: %w", err)
	}
	if fi, err := f.Stat(); err == nil && fi.Size() > maxSize {
		return l.rotate(f)
	}
	return nil
}

func (l Log) open() (*os.File, error) {
	path := filepath.Join(l.Dir, logFile)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(l.Dir, 0o700); err != nil {
			return nil, err
		}
		f, err = os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	}
	return f, err
}

// rotate makes full the older file, unless somebody has.
func (l Log) rotate(full *os.File) error {
	if err := sys.Lock(full); err != nil {
		return err
	}
	path := filepath.Join(l.Dir, logFile)
	now, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it is being renamed
	}
	if err != nil {
		return err
	}
	mine, err := full.Stat()
	if err != nil || !os.SameFile(mine, now) {
		return err
	}
	return os.Rename(path, filepath.Join(l.Dir, oldFile))
}
