package health

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/nook-containers/nook/pkg/statefile"
)

const fileName = "health.json"

// Write puts r into dir, the container's directory for this boot. Its monitor calls
// it, and before that the process that becomes it.
func Write(dir string, r Report) error {
	if err := statefile.WriteVolatile(filepath.Join(dir, fileName), r); err != nil {
		return fmt.Errorf("record the container's health: %w", err)
	}
	return nil
}

// Read returns what Write put into dir. A container that has not run in this boot
// is Starting, of which nothing is known.
func Read(dir string) (Report, error) {
	var r Report
	err := statefile.Read(filepath.Join(dir, fileName), &r)
	if errors.Is(err, fs.ErrNotExist) {
		return Report{Status: Starting}, nil
	}
	return r, err
}

// Shown is a Report in the names of docker-inspect(1) and of Podman's log files.
type Shown struct {
	Status        string
	FailingStreak int
	Log           []ShownResult
}

// ShownResult is a Result.
type ShownResult struct {
	Start    time.Time
	End      time.Time
	ExitCode int
	Output   string
}

// Show translates r.
func (r Report) Show() Shown {
	s := Shown{Status: r.Status, FailingStreak: r.FailingStreak, Log: make([]ShownResult, 0, len(r.Log))}
	for _, l := range r.Log {
		s.Log = append(s.Log, ShownResult(l))
	}
	return s
}

// Publish writes r to the directory that the user wants it in, for the container
// id, in the format and under the name that Podman has.
func Publish(dir, id string, r Report) error {
	if err := statefile.WriteVolatile(filepath.Join(dir, id+"-healthcheck.log"), r.Show()); err != nil {
		return fmt.Errorf("write the health log: %w", err)
	}
	return nil
}
