package container

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/nook-containers/nook/libpod/attach"
	"github.com/nook-containers/nook/libpod/health"
	"github.com/nook-containers/nook/libpod/monitor"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/problem"
)

// checkHealth refuses settings of a health check that is not there.
func checkHealth(c spec.Health, img *spec.ImageHealth) error {
	if health.Test(c, img) != nil || reflect.ValueOf(c).IsZero() || slices.Equal(c.Test, []string{spec.HealthNone}) {
		return nil
	}
	return problem.Hint(errors.New("there are settings of a health check, and no health check"), "add: --health-cmd COMMAND")
}

// HealthOf returns what is known of c's health; ok is false if it has no health
// check. Of a container that does not run it is what was known last.
func HealthOf(c *state.Container) (r health.Report, ok bool, err error) {
	if health.Test(c.Spec.Health, c.Image.Health) == nil {
		return r, false, nil
	}
	r, err = health.Read(c.RunDir())
	return r, true, err
}

// describeHealth adds what inspect shows of c's health check.
func describeHealth(c *state.Container, out *Inspect) error {
	r, ok, err := HealthOf(c)
	if err != nil {
		return err
	}
	p := health.PlanOf(c.Spec.Health, c.Image.Health)
	if !ok || p == nil {
		return nil
	}
	shown := r.Show()
	out.State.Health = &shown
	cfg := &out.Config
	cfg.Healthcheck = &spec.ImageHealth{
		Test: health.Test(c.Spec.Health, c.Image.Health), Interval: max(p.Interval, 0), Timeout: p.Timeout, StartPeriod: p.StartPeriod,
		StartInterval: p.StartInterval, Retries: p.Retries,
	}
	if s := p.Startup; s != nil {
		cfg.StartupHealthCheck = &InspectStartupHealth{
			spec.ImageHealth{Test: c.Spec.Health.Startup.Test, Interval: max(s.Interval, 0), Timeout: s.Timeout, Retries: p.StartupRetries},
			p.StartupSuccesses,
		}
	}
	cfg.HealthcheckOnFailureAction, cfg.HealthLogDestination = first(p.OnFailure, "none"), first(p.LogTo, "local")
	cfg.HealthcheckMaxLogCount, cfg.HealthcheckMaxLogSize = p.LogCount, p.LogSize
	return nil
}

// CheckHealth has the monitor of c run its health check now, and returns what came
// out. It is on record then, as one that was due.
func CheckHealth(c *state.Container) (health.Answer, error) {
	conn, err := Attach(c, monitor.Hello{Check: true})
	if err != nil {
		return health.Answer{}, err
	}
	defer conn.Close()
	t, p, err := conn.Read()
	if err == nil && t != attach.Checked {
		err = fmt.Errorf("unexpected frame type %d", t)
	}
	if err != nil {
		return health.Answer{}, fmt.Errorf("talk to the monitor of %s: %w", c.Name, err)
	}
	var checked monitor.Checked
	if err := json.Unmarshal(p, &checked); err != nil {
		return health.Answer{}, fmt.Errorf("talk to the monitor of %s: %w", c.Name, err)
	}
	if checked.Error != "" {
		err = fmt.Errorf("check the health of %s: %s", c.Name, checked.Error)
	}
	return checked.Answer, err
}

// tellHealth has the monitor of c, if it runs, read what its health check is now.
func tellHealth(c *state.Container) error {
	st, err := c.Status()
	if err != nil || !st.Alive() {
		return err // its next start reads it
	}
	_, err = askMonitor(c, monitor.Hello{Health: true})
	if now, serr := c.Status(); err != nil && serr == nil && now.Monitor != st.Monitor {
		return nil // it has ended
	}
	return err
}
