package monitor

import (
	"path/filepath"
	"time"

	"github.com/nook-containers/nook/libpod/attach"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/logs"
)

// logName is a container's log in its directory, as podman's.
const logName = "ctr.log"

// LogConfig says where c's output goes, with all defaults filled in.
func LogConfig(c *state.Container) (logs.Config, error) {
	asked := c.Spec.Log
	cfg := logs.Config{Driver: asked.Driver, ID: c.ID, Name: c.Name, Image: c.ImageName}
	if cfg.Driver == "" {
		cfg.Driver = logs.K8sFile
	}
	if logs.HasFiles(cfg.Driver) {
		cfg.Path, cfg.MaxSize, cfg.MaxFiles = asked.Path, asked.MaxSize, asked.MaxFiles
		if cfg.Path == "" {
			cfg.Path = filepath.Join(c.Dir(), logName)
		}
		if cfg.MaxSize == 0 {
			cfg.MaxSize = logs.DefaultMaxSize
		}
		if cfg.MaxFiles == 0 {
			cfg.MaxFiles = logs.DefaultMaxFiles
		}
	}
	var err error
	cfg.Tag, err = logs.ExpandTag(asked.Tag, logs.Fields{
		FullID: c.ID, Name: c.Name, ImageFullID: c.ImageID, ImageName: c.ImageName,
	})
	return cfg, err
}

// LogRun names a run of a container in its log.
func LogRun(r state.Run) string { return r.Started.UTC().Format(time.RFC3339Nano) }

// output is a container's log.
type output struct {
	w   logs.Writer // nil: it could not be opened
	err error
}

// openLog opens the log of c. A container runs without one rather than not at all.
func openLog(c *state.Container, run state.Run) *output {
	cfg, err := LogConfig(c)
	if err != nil {
		return &output{err: err}
	}
	cfg.Run = LogRun(run)
	w, err := logs.Open(cfg)
	return &output{w, err}
}

func (o *output) write(t attach.Type, p []byte) {
	if o.w == nil {
		return
	}
	s := logs.Stdout
	if t == attach.Stderr {
		s = logs.Stderr
	}
	_ = o.w.Write(s, p, time.Now()) // close tells what was lost
}

// close says what the log lacks.
func (o *output) close() error {
	if o.w == nil {
		return o.err
	}
	return o.w.Close()
}
