package container

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/pflag"

	"github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/libpod/health"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/syntax"
	"github.com/nook-containers/nook/pkg/logs"
	"github.com/nook-containers/nook/pkg/problem"
)

// healthFlags are --health-*, as typed.
type healthFlags struct {
	cmd, interval, timeout, startPeriod, startInterval string
	retries                                            int

	startupCmd, startupInterval, startupTimeout string
	startupRetries, startupSuccess              int

	onFailure, logTo  string
	logCount, logSize int
	none              bool

	set *pflag.FlagSet
}

func (h *healthFlags) add(f *pflag.FlagSet) {
	h.set = f
	f.StringVar(&h.cmd, "health-cmd", "", "command that checks the container's health: text for its shell, a JSON array, or none")
	f.StringVar(&h.interval, "health-interval", health.DefaultInterval.String(), "time between two checks, or disable")
	f.StringVar(&h.timeout, "health-timeout", health.DefaultTimeout.String(), "time after which a check is killed, and has failed")
	f.IntVar(&h.retries, "health-retries", health.DefaultRetries, "failures in a row that make the container unhealthy")
	f.StringVar(&h.startPeriod, "health-start-period", "0s", "time after the start in which failures do not count, until a check succeeds")
	f.StringVar(&h.startInterval, "health-start-interval", health.DefaultStartInterval.String(), "time between two checks in the start period")
	f.StringVar(&h.startupCmd, "health-startup-cmd", "", "command that must succeed before the health check begins")
	f.StringVar(&h.startupInterval, "health-startup-interval", health.DefaultInterval.String(), "time between two startup checks, or disable")
	f.StringVar(&h.startupTimeout, "health-startup-timeout", health.DefaultTimeout.String(), "time after which a startup check is killed, and has failed")
	f.IntVar(&h.startupRetries, "health-startup-retries", 0, "failures of the startup check after which the container is restarted; 0 for never")
	f.IntVar(&h.startupSuccess, "health-startup-success", 0, "successes of the startup check that are needed; 0 for one")
	f.StringVar(&h.onFailure, "health-on-failure", "none", "what to do with a container that turns unhealthy: none, kill, restart or stop")
	f.StringVar(&h.logTo, "health-log-destination", "local", "where results go beside inspect: local (nowhere), events_logger or a directory")
	f.IntVar(&h.logCount, "health-max-log-count", health.DefaultLogCount, "results that are kept; 0 for the most there may be, 1000")
	f.IntVar(&h.logSize, "health-max-log-size", health.DefaultLogSize, "bytes of output that are kept of each check; 0 for the most there may be, 64 KiB")
	f.BoolVar(&h.none, "no-healthcheck", false, "do not check the container's health, whatever the image says")
}

func (o *createFlags) readHealth(r *container.Request, h host) error {
	if err := o.health.read(&r.Spec.Health, h.dir); err != nil {
		return err
	}
	return checkHealthRestarts(r.Spec)
}

// checkHealthRestarts refuses a restart where there can be none.
func checkHealthRestarts(c spec.Container) error {
	restarts := c.Health.OnFailure == spec.HealthActRestart || c.Health.Startup != nil && c.Health.Startup.Retries > 0
	switch {
	case restarts && c.Remove:
		return errors.New("--rm excludes --health-on-failure=restart and --health-startup-retries")
	case restarts && logs.PassesThrough(c.Log.Driver):
		return fmt.Errorf("--log-driver %s excludes --health-on-failure=restart and --health-startup-retries", c.Log.Driver)
	}
	return nil
}

// read puts what was typed into s, over what is there. dir is what paths begin at.
func (h *healthFlags) read(s *spec.Health, dir string) (err error) {
	if h.none {
		for _, name := range []string{"health-cmd", "health-startup-cmd"} {
			if h.set.Changed(name) {
				return fmt.Errorf("--no-healthcheck and --%s exclude each other", name)
			}
		}
		*s = spec.Health{Test: []string{spec.HealthNone}}
		return nil
	}
	if h.set.Changed("health-cmd") {
		if s.Test, err = syntax.HealthCommand(h.cmd); err != nil {
			return err
		}
	}
	for _, step := range []func(*spec.Health) error{
		h.times, h.startup, h.action, func(s *spec.Health) error { return h.log(s, dir) },
	} {
		if err := step(s); err != nil {
			return err
		}
	}
	return nil
}

// duration reads one flag if it was given.
func (h *healthFlags) duration(to *time.Duration, name, text string, least time.Duration) (err error) {
	if h.set.Changed(name) {
		*to, err = syntax.HealthTime("--"+name, text, least)
	}
	return err
}

func (h *healthFlags) times(s *spec.Health) (err error) {
	if h.set.Changed("health-interval") {
		if s.Interval, err = syntax.HealthInterval("--health-interval", h.interval); err != nil {
			return err
		}
	}
	if h.set.Changed("health-retries") {
		if s.Retries = h.retries; h.retries < 1 {
			return fmt.Errorf("--health-retries %d: want at least 1", h.retries)
		}
	}
	return errors.Join(
		h.duration(&s.Timeout, "health-timeout", h.timeout, time.Millisecond),
		h.duration(&s.StartPeriod, "health-start-period", h.startPeriod, 0),
		h.duration(&s.StartInterval, "health-start-interval", h.startInterval, time.Millisecond),
	)
}

func (h *healthFlags) startup(s *spec.Health) (err error) {
	up := spec.HealthStartup{}
	if s.Startup != nil {
		up = *s.Startup
	}
	given := h.set.Changed("health-startup-cmd")
	if given {
		if up.Test, err = syntax.HealthCommand(h.startupCmd); err != nil {
			return err
		}
		if up.Test[0] == spec.HealthNone {
			s.Startup = nil
			return nil
		}
	}
	for _, name := range []string{"interval", "timeout", "retries", "success"} {
		if !h.set.Changed("health-startup-" + name) {
			continue
		}
		if given = true; up.Test == nil {
			return fmt.Errorf("--health-startup-%s needs --health-startup-cmd", name)
		}
	}
	if !given {
		return nil
	}
	s.Startup = &up
	if h.set.Changed("health-startup-interval") {
		if up.Interval, err = syntax.HealthInterval("--health-startup-interval", h.startupInterval); err != nil {
			return err
		}
	}
	return errors.Join(
		h.number(&up.Retries, "health-startup-retries", h.startupRetries),
		h.number(&up.Successes, "health-startup-success", h.startupSuccess),
		h.duration(&up.Timeout, "health-startup-timeout", h.startupTimeout, time.Millisecond),
	)
}

// number reads one flag if it was given.
func (h *healthFlags) number(to *int, name string, n int) error {
	if !h.set.Changed(name) {
		return nil
	}
	if n < 0 {
		return fmt.Errorf("--%s %d: must not be negative", name, n)
	}
	*to = n
	return nil
}

func (h *healthFlags) action(s *spec.Health) error {
	if !h.set.Changed("health-on-failure") {
		return nil
	}
	switch h.onFailure {
	case "none":
		s.OnFailure = spec.HealthActNothing
	case spec.HealthActKill, spec.HealthActRestart, spec.HealthActStop:
		s.OnFailure = h.onFailure
	default:
		return fmt.Errorf("--health-on-failure %q: want none, kill, restart or stop", h.onFailure)
	}
	return nil
}

func (h *healthFlags) log(s *spec.Health, dir string) error {
	for _, n := range []struct {
		name string
		from int
		to   **int
	}{{"health-max-log-count", h.logCount, &s.LogCount}, {"health-max-log-size", h.logSize, &s.LogSize}} {
		if h.set.Changed(n.name) {
			*n.to = new(int)
			if err := h.number(*n.to, n.name, n.from); err != nil {
				return err
			}
		}
	}
	if !h.set.Changed("health-log-destination") {
		return nil
	}
	switch h.logTo {
	case "local":
		s.LogTo = spec.HealthLogLocal
		return nil
	case spec.HealthLogEvents:
		s.LogTo = h.logTo
		return nil
	}
	s.LogTo = h.logTo
	if !filepath.IsAbs(s.LogTo) {
		s.LogTo = filepath.Join(dir, s.LogTo)
	}
	if fi, err := os.Stat(s.LogTo); err != nil || !fi.IsDir() {
		return problem.Hint(fmt.Errorf("--health-log-destination %s: no such directory; want local, events_logger or a directory", h.logTo), "run: mkdir -p %s", s.LogTo)
	}
	return nil
}
