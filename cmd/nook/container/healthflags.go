package container

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
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
}

func (h *healthFlags) add(f *pflag.FlagSet) {
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

func (o *createFlags) readHealth(r *container.Request, h host) (err error) {
	f, s, set := &o.health, &r.Spec.Health, o.set.Changed
	if f.none {
		for _, name := range []string{"health-cmd", "health-startup-cmd"} {
			if set(name) {
				return fmt.Errorf("--no-healthcheck and --%s exclude each other", name)
			}
		}
		*s = spec.Health{Test: []string{spec.HealthNone}}
		return nil
	}
	if set("health-cmd") {
		if s.Test, err = syntax.HealthCommand(f.cmd); err != nil {
			return err
		}
	}
	for _, step := range []func(*spec.Health) error{
		o.healthTimes, o.healthStartup, o.healthAction, func(s *spec.Health) error { return o.healthLog(s, h) },
	} {
		if err := step(s); err != nil {
			return err
		}
	}
	restarts := s.OnFailure == spec.HealthActRestart || s.Startup != nil && s.Startup.Retries > 0
	switch {
	case restarts && r.Spec.Remove:
		return errors.New("--rm excludes --health-on-failure=restart and --health-startup-retries")
	case restarts && logs.PassesThrough(r.Spec.Log.Driver):
		return fmt.Errorf("--log-driver %s excludes --health-on-failure=restart and --health-startup-retries", r.Spec.Log.Driver)
	}
	return nil
}

// duration reads one flag if it was given.
func (o *createFlags) duration(to *time.Duration, name, text string, least time.Duration) (err error) {
	if o.set.Changed(name) {
		*to, err = syntax.HealthTime("--"+name, text, least)
	}
	return err
}

func (o *createFlags) healthTimes(s *spec.Health) (err error) {
	f := &o.health
	if o.set.Changed("health-interval") {
		if s.Interval, err = syntax.HealthInterval("--health-interval", f.interval); err != nil {
			return err
		}
	}
	if o.set.Changed("health-retries") {
		if s.Retries = f.retries; f.retries < 1 {
			return fmt.Errorf("--health-retries %d: want at least 1", f.retries)
		}
	}
	return errors.Join(
		o.duration(&s.Timeout, "health-timeout", f.timeout, time.Millisecond),
		o.duration(&s.StartPeriod, "health-start-period", f.startPeriod, 0),
		o.duration(&s.StartInterval, "health-start-interval", f.startInterval, time.Millisecond),
	)
}

func (o *createFlags) healthStartup(s *spec.Health) (err error) {
	f := &o.health
	if !o.set.Changed("health-startup-cmd") {
		for _, name := range []string{"interval", "timeout", "retries", "success"} {
			if o.set.Changed("health-startup-" + name) {
				return fmt.Errorf("--health-startup-%s needs --health-startup-cmd", name)
			}
		}
		return nil
	}
	up := &spec.HealthStartup{Retries: f.startupRetries, Successes: f.startupSuccess}
	if up.Test, err = syntax.HealthCommand(f.startupCmd); err != nil || up.Test[0] == spec.HealthNone {
		return err
	}
	if o.set.Changed("health-startup-interval") {
		if up.Interval, err = syntax.HealthInterval("--health-startup-interval", f.startupInterval); err != nil {
			return err
		}
	}
	for name, n := range map[string]int{"retries": f.startupRetries, "success": f.startupSuccess} {
		if n < 0 {
			return fmt.Errorf("--health-startup-%s %d: must not be negative", name, n)
		}
	}
	s.Startup = up
	return o.duration(&up.Timeout, "health-startup-timeout", f.startupTimeout, time.Millisecond)
}

func (o *createFlags) healthAction(s *spec.Health) error {
	switch f := o.health.onFailure; f {
	case "none":
	case spec.HealthActKill, spec.HealthActRestart, spec.HealthActStop:
		s.OnFailure = f
	default:
		return fmt.Errorf("--health-on-failure %q: want none, kill, restart or stop", f)
	}
	return nil
}

func (o *createFlags) healthLog(s *spec.Health, h host) error {
	f := &o.health
	for _, n := range []struct {
		name string
		from *int
		to   **int
	}{{"health-max-log-count", &f.logCount, &s.LogCount}, {"health-max-log-size", &f.logSize, &s.LogSize}} {
		if *n.from < 0 {
			return fmt.Errorf("--%s %s: must not be negative", n.name, strconv.Itoa(*n.from))
		}
		if o.set.Changed(n.name) {
			*n.to = n.from
		}
	}
	switch f.logTo {
	case "local":
		return nil
	case spec.HealthLogEvents:
		s.LogTo = f.logTo
		return nil
	}
	s.LogTo = f.logTo
	if !filepath.IsAbs(s.LogTo) {
		s.LogTo = filepath.Join(h.dir, s.LogTo)
	}
	if fi, err := os.Stat(s.LogTo); err != nil || !fi.IsDir() {
		return problem.Hint(fmt.Errorf("--health-log-destination %s: no such directory; want local, events_logger or a directory", f.logTo), "run: mkdir -p %s", s.LogTo)
	}
	return nil
}
