package spec

import "time"

// Words that a health check's Test begins with (Dockerfile reference,
// HEALTHCHECK).
const (
	HealthNone  = "NONE"      // no check, whatever the image says
	HealthExec  = "CMD"       // what follows is the command
	HealthShell = "CMD-SHELL" // one string for the container's /bin/sh
)

// HealthDisabled is an Interval after which nothing is checked by itself.
const HealthDisabled = time.Duration(-1)

// What is done with a container that turns unhealthy.
const (
	HealthActNothing = ""
	HealthActKill    = "kill"
	HealthActRestart = "restart"
	HealthActStop    = "stop"
)

// Where results are shown beside inspect; anything else is a directory.
const (
	HealthLogLocal  = ""
	HealthLogEvents = "events_logger"
)

// Health says how it is found out whether a container does its work. What is not
// set is the image's, else as libpod/health has it.
type Health struct {
	Test          []string      `json:"test,omitempty"`          // nil: the image's
	Interval      time.Duration `json:"interval,omitempty"`      // between the end of a check and the next; HealthDisabled
	Timeout       time.Duration `json:"timeout,omitempty"`       // of one check, which is killed then and has failed
	StartPeriod   time.Duration `json:"startPeriod,omitempty"`   // from the container's start; checks that fail in it do not count
	StartInterval time.Duration `json:"startInterval,omitempty"` // in place of Interval during the start period
	Retries       int           `json:"retries,omitempty"`       // failures in a row that make it unhealthy

	Startup   *HealthStartup `json:"startup,omitempty"`
	OnFailure string         `json:"onFailure,omitempty"`

	LogTo    string `json:"logTo,omitempty"`    // HealthLogLocal, HealthLogEvents or an absolute directory
	LogCount *int   `json:"logCount,omitempty"` // results that are kept; 0: as many as there may be
	LogSize  *int   `json:"logSize,omitempty"`  // bytes of output that are kept of each; 0: as many as there may be
}

// HealthStartup is another check, which must succeed before the real one begins.
type HealthStartup struct {
	Test      []string      `json:"test"`
	Interval  time.Duration `json:"interval,omitempty"`
	Timeout   time.Duration `json:"timeout,omitempty"`
	Retries   int           `json:"retries,omitempty"`   // failures after which the container is restarted; 0: never
	Successes int           `json:"successes,omitempty"` // that are needed; 0: one
}

// ImageHealth is HEALTHCHECK in an image's configuration, which has these names and
// counts in nanoseconds.
type ImageHealth struct {
	Test          []string      `json:"Test,omitempty"`
	Interval      time.Duration `json:"Interval,omitempty"`
	Timeout       time.Duration `json:"Timeout,omitempty"`
	StartPeriod   time.Duration `json:"StartPeriod,omitempty"`
	StartInterval time.Duration `json:"StartInterval,omitempty"`
	Retries       int           `json:"Retries,omitempty"`
}
