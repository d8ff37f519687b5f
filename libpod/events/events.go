// Package events is the log of what happened to containers and images: one line
// of JSON each in a file of bounded size. It imports little, since every monitor
// writes to it.
//
// # Theory of operation
//
// Writers append whole lines with one write(2) each, which the kernel does not
// mix (O_APPEND, open(2)), under a lock that they share. Who finds the file too long
// renames it to the older one's name, under the lock that nobody shares: so nobody
// writes to a file that was renamed, and a reader, which takes the older file and then
// the newer and follows by watching the directory, may leave the older one for good.
// No lock is waited for: a process that was stopped holds up nobody. A line cut short
// by a crash or a full disk is skipped.
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
	Network   = "network"
	Pod       = "pod"
	System    = "system"
)

// Actions, as podman-events(1) has them.
const (
	Attach  = "attach"
	Build   = "build"
	Cleanup = "cleanup" // what a container had while it ran is given back
	Commit  = "commit"
	Connect = "connect" // a container came to a network
	Copy    = "copy"
	Create  = "create"
	Died    = "died"
	// Disconnect is the end of Connect.
	Disconnect = "disconnect"
	// EgressRefused: a container went where rules keep it from; told once for each place.
	EgressRefused = "egress-refused"
	Exec          = "exec"
	ExecDied      = "exec_died"
	Export        = "export"
	// HealthStatus is told when the status changes, and of every check where the
	// user wants the results here.
	HealthStatus = "health_status"
	Import       = "import"
	Init         = "init" // a container has all but its command running
	Kill         = "kill"
	Load         = "loadfromarchive"
	Mount        = "mount"
	OOM          = "oom" // the kernel ran out of memory for a container
	Pause        = "pause"
	Prune        = "prune"
	Pull         = "pull"
	Push         = "push"
	Remove       = "remove"
	Rename       = "rename"
	Restart      = "restart"
	Save         = "save"
	Start        = "start"
	Stop         = "stop"
	Tag          = "tag"
	Unmount      = "unmount"
	Unpause      = "unpause"
	Untag        = "untag"
	Update       = "update"
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
	Health     string            `json:"health,omitempty"`        // status, of HealthStatus
	Failing    int               `json:"failingStreak,omitempty"` // of HealthStatus
	Attributes map[string]string `json:"attributes,omitempty"`    // labels, and what an action adds
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
	_ = Of(c.Store()).Append(of(c, action, change...))
}

// TellEnd appends, at once, that c ended with a code, that what it had is given back,
// and that it is removed where it is not to stay.
func TellEnd(c *state.Container, code int) {
	end := []Event{of(c, Died, ExitCode(code)), of(c, Cleanup)}
	if c.Spec.Remove {
		end = append(end, of(c, Remove))
	}
	_ = Of(c.Store()).Append(end...)
}

func of(c *state.Container, action string, change ...func(*Event)) Event {
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
	return e
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

// TellImage appends that action happened to an image, as Tell does.
func TellImage(s state.Store, action, id, name string) {
	_ = Of(s).Append(Event{Time: time.Now(), Type: Image, Action: action, ID: id, Name: name})
}

// TellType appends that action happened to the things of a kind, as Tell does.
func TellType(s state.Store, kind, action string) {
	_ = Of(s).Append(Event{Time: time.Now(), Type: kind, Action: action})
}

// ExitCode adds how a container ended.
func ExitCode(code int) func(*Event) { return func(e *Event) { e.ExitCode = &code } }

// Health adds what a container's health is.
func Health(status string, failing int) func(*Event) {
	return func(e *Event) { e.Health, e.Failing = status, failing }
}

// Attribute adds a detail.
func Attribute(key, value string) func(*Event) {
	return func(e *Event) { e.Attributes[key] = value }
}

// Append writes events, with none of others' in between.
func (l Log) Append(all ...Event) error {
	var lines []byte
	for _, e := range all {
		line, err := json.Marshal(e)
		if err != nil {
			return fmt.Errorf("encode event: %w", err)
		}
		lines = append(append(lines, line...), '\n')
	}
	f, err := l.current()
	if err != nil {
		return fmt.Errorf("write event: %w", err)
	}
	defer f.Close()
	if _, err := f.Write(lines); err != nil {
		return fmt.Errorf("write event: %w", err)
	}
	if fi, err := f.Stat(); err == nil && fi.Size() > maxSize {
		return l.rotate(f, fi.Size())
	}
	return nil
}

// patience bounds how often a writer tries to lock the file, a millisecond apart:
// a process that was stopped in its rotation must not hold up all others.
const patience = 50

// current opens the newer file and locks it, so that it is not renamed before it is
// closed again: a follower that has left a file behind has missed nothing.
func (l Log) current() (*os.File, error) {
	for tries := patience; ; tries-- {
		f, err := l.open()
		if err != nil {
			return nil, err
		}
		err = sys.TryLockShared(f)
		if err == nil {
			now, serr := os.Stat(f.Name())
			if mine, err := f.Stat(); tries == 0 || err == nil && serr == nil && os.SameFile(mine, now) {
				return f, nil
			}
		} else if !errors.Is(err, sys.ErrLocked) || tries == 0 {
			return f, nil // without a lock rather than not at all
		}
		f.Close()
		if err != nil {
			<-time.After(time.Millisecond)
		}
	}
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

// rotate makes full, which has so many bytes, the older file, unless somebody has, or
// somebody else is writing to it: then the next writer does. Of a writer that was
// stopped the rest grow tired.
func (l Log) rotate(full *os.File, size int64) error {
	err := sys.TryLock(full)
	if errors.Is(err, sys.ErrLocked) && size < 2*maxSize {
		return nil
	}
	if err != nil && !errors.Is(err, sys.ErrLocked) {
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
