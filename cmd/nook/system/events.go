package system

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/events"
)

type eventsOptions struct {
	since, until, format string
	stream, noTrunc      bool
	filters              []string
}

func newEvents(f *cmdutil.Factory) *cobra.Command {
	o := &eventsOptions{}
	cmd := &cobra.Command{
		Use:   "events [flags]",
		Short: "Show what happens to containers, images and volumes",
		Long: `Show what happens to containers, images and volumes from now on, or what happened
since a moment, one event a line, until --until or for ever.`,
		Example: "  nook events --filter event=died --format json\n  nook events --since 1h --stream=false",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), f)
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&o.since, "since", "", "also what happened since a time, or so long ago")
	fl.StringVar(&o.until, "until", "", "up to a time, or so long ago")
	fl.StringVar(&o.format, "format", "", "json, or a Go template")
	fl.BoolVar(&o.stream, "stream", true, "wait for more; false: show what happened, and end")
	fl.BoolVar(&o.noTrunc, "no-trunc", true, "do not shorten ids")
	fl.StringArrayVarP(&o.filters, "filter", "f", nil, "only events with `KEY=VALUE`: container, event, image, label, network, pod, type, volume")
	return cmd
}

func (o *eventsOptions) run(ctx context.Context, f *cmdutil.Factory) error {
	now := time.Now()
	q := events.Query{Follow: o.stream, Since: now}
	var err error
	if o.since != "" {
		if q.Since, err = cmdutil.Moment(o.since, now); err != nil {
			return fmt.Errorf("--since %w", err)
		}
	} else if !o.stream {
		q.Since = time.Time{}
	}
	if o.until != "" {
		if q.Until, err = cmdutil.Moment(o.until, now); err != nil {
			return fmt.Errorf("--until %w", err)
		}
		q.Follow = q.Follow && q.Until.After(now)
	}
	if q.Keep, err = eventFilters().Compile(o.filters); err != nil {
		return err
	}
	show, err := o.printer(f)
	if err != nil {
		return err
	}
	s, err := f.State()
	if err != nil {
		return err
	}
	if q.Follow {
		var stop context.CancelFunc
		ctx, stop = f.WhileRead(ctx)
		defer stop()
	}
	return events.Of(s).Read(ctx, q, show)
}

func eventFilters() cmdutil.Filters[events.Event] {
	type test = func(events.Event) bool
	plain := func(match func(e events.Event, v string) bool) func(string) (test, error) {
		return func(v string) (test, error) {
			return func(e events.Event) bool { return match(e, v) }, nil
		}
	}
	named := func(kind string) func(string) (test, error) {
		return plain(func(e events.Event, v string) bool {
			return e.Type == kind && (e.Name == v || v != "" && strings.HasPrefix(e.ID, v))
		})
	}
	action := plain(func(e events.Event, v string) bool { return e.Action == podmanWord(v) })
	f := cmdutil.Filters[events.Event]{
		"container": plain(func(e events.Event, v string) bool {
			return e.Type == events.Container && (e.Name == v || strings.HasPrefix(e.ID, v))
		}),
		"image": plain(func(e events.Event, v string) bool {
			return e.Type == events.Image && (e.Name == v || strings.HasPrefix(e.ID, v)) || e.Image == v
		}),
		"event": action, "status": action,
		"volume":  named(events.Volume),
		"pod":     named(events.Pod),
		"network": named(events.Network),
		"type":    plain(func(e events.Event, v string) bool { return e.Type == v }),
	}
	cmdutil.LabelFilters(f, func(e events.Event) map[string]string { return e.Attributes })
	return f
}

// podmanWord translates Docker's names of actions.
func podmanWord(v string) string {
	switch v {
	case "die":
		return events.Died
	case "destroy", "delete":
		return events.Remove
	case "exec_die":
		return events.ExecDied
	case "exec_start":
		return events.Exec
	case "load":
		return events.Load
	}
	return v
}

// eventRow has the field names that templates use.
type eventRow struct{ e events.Event }

func (r eventRow) ID() string    { return r.e.ID }
func (r eventRow) Name() string  { return r.e.Name }
func (r eventRow) Image() string { return r.e.Image }
func (r eventRow) From() string  { return r.e.Image }
func (r eventRow) Type() string  { return r.e.Type }

func (r eventRow) HealthStatus() string          { return r.e.Health }
func (r eventRow) Status() string                { return r.e.Action }
func (r eventRow) Network() string               { return r.e.Attributes["network"] }
func (r eventRow) PodID() string                 { return "" }
func (r eventRow) Action() string                { return r.e.Action }
func (r eventRow) Time() time.Time               { return r.e.Time }
func (r eventRow) TimeNano() int64               { return r.e.Time.UnixNano() }
func (r eventRow) Attributes() map[string]string { return r.e.Attributes }
func (r eventRow) ContainerExitCode() int {
	if r.e.ExitCode == nil {
		return 0
	}
	return *r.e.ExitCode
}

// eventJSON is an event of --format json, in podman's field names.
type eventJSON struct {
	Attributes        map[string]string `json:"Attributes,omitempty"`
	ContainerExitCode *int              `json:"ContainerExitCode,omitempty"`
	HealthStatus      string            `json:"HealthStatus,omitempty"`
	FailingStreak     int               `json:"health_failing_streak,omitempty"`
	ID                string            `json:"ID,omitempty"`
	Image             string            `json:"Image,omitempty"`
	Name              string            `json:"Name,omitempty"`
	Status            string            `json:"Status"`
	Time              int64             `json:"time"`
	TimeNano          int64             `json:"timeNano"`
	Type              string            `json:"Type"`
}

func (o *eventsOptions) printer(f *cmdutil.Factory) (func(events.Event) error, error) {
	if o.format == "" {
		return func(e events.Event) error {
			_, err := fmt.Fprintln(f.Out, line(e, o.noTrunc))
			return err
		}, nil
	}
	show, err := cmdutil.Printer(f.Out, o.format, func(r eventRow) any {
		e := r.e
		return eventJSON{e.Attributes, e.ExitCode, e.Health, e.Failing, e.ID, e.Image, e.Name, e.Action, e.Time.Unix(), e.Time.UnixNano(), e.Type}
	})
	return func(e events.Event) error { return show(eventRow{e}) }, err
}

// line is an event as podman prints it.
func line(e events.Event, whole bool) string { //nolint:revive // the flag's value
	id := e.ID
	if !whole {
		id = id[:min(12, len(id))]
	}
	head := strings.Join([]string{e.Time.Format("2006-01-02 15:04:05.999999999 -0700 MST"), e.Type, e.Action}, " ")
	if e.Action == events.EgressRefused {
		return fmt.Sprintf("%s %s %s (container=%s, destination=%s)", head, id, e.Name, e.Attributes["containerName"], e.Attributes["destination"])
	}
	if e.Type != events.Container {
		return head + " " + strings.TrimSpace(id+" "+e.Name)
	}
	details := []string{"image=" + e.Image, "name=" + e.Name}
	if e.ExitCode != nil {
		details = append(details, "exitCode="+strconv.Itoa(*e.ExitCode))
	}
	if e.Health != "" {
		details = append(details, "health_status="+e.Health, "health_failing_streak="+strconv.Itoa(e.Failing))
	}
	for _, k := range slices.Sorted(maps.Keys(e.Attributes)) {
		details = append(details, k+"="+e.Attributes[k])
	}
	return head + " " + id + " (" + strings.Join(details, ", ") + ")"
}
