package container

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/monitor"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/logs"
	"github.com/nook-containers/nook/pkg/logs/journal"
	"github.com/nook-containers/nook/pkg/problem"
)

type logsOptions struct {
	follow, timestamps, names, color, latest bool
	tail, since, until                       string
}

func newLogs(f *cmdutil.Factory) *cobra.Command {
	o := &logsOptions{}
	cmd := &cobra.Command{
		Use:   "logs [flags] CONTAINER...",
		Short: "Show what containers wrote",
		Long: `Show what containers wrote to their standard output and standard error, on the
same streams. Lines of several containers come in the order of their times.

A TIME is a date, a time in RFC 3339 with or without zone, seconds since 1970, or
a duration: that long ago, but for --until with --follow that long from now.`,
		Example: "  nook logs -f --tail 20 web\n  nook logs -t --since 10m --names web db",
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), f, args)
		},
	}
	o.add(cmd.Flags())
	cmd.Flags().BoolVarP(&o.latest, "latest", "l", false, "of the container made last")
	return cmd
}

func (o *logsOptions) add(fl *pflag.FlagSet) {
	fl.BoolVarP(&o.follow, "follow", "f", false, "go on with what is written until the containers end")
	fl.BoolVarP(&o.timestamps, "timestamps", "t", false, "show when each line was written")
	fl.StringVarP(&o.tail, "tail", "n", "all", "only the last `N` lines of each container")
	fl.StringVar(&o.since, "since", "", "only what was written since `TIME`")
	fl.StringVar(&o.until, "until", "", "only what was written until `TIME`")
	fl.BoolVar(&o.names, "names", false, "of several containers, show names instead of ids")
	fl.BoolVar(&o.color, "color", false, "of several containers, show each in a color")
}

// read turns the flags into what is to be read.
func (o *logsOptions) read(now time.Time) (logs.ReadOptions, error) {
	r := logs.ReadOptions{Tail: logs.All, Follow: o.follow}
	if o.tail != "all" {
		n, err := strconv.Atoi(o.tail)
		if err != nil || n < logs.All {
			return r, fmt.Errorf("--tail %q: want a number of lines, or all", o.tail)
		}
		r.Tail = n
	}
	var err error
	if o.since != "" {
		if r.Since, err = cmdutil.Moment(o.since, now); err != nil {
			return r, fmt.Errorf("--since: %w", err)
		}
	}
	if o.until == "" {
		return r, nil
	}
	// As Docker has it where there is an end, as podman where there is none yet.
	if d, err := time.ParseDuration(o.until); err == nil && o.follow {
		r.Until = now.Add(d)
		return r, nil
	}
	if r.Until, err = cmdutil.Moment(o.until, now); err != nil {
		return r, fmt.Errorf("--until: %w", err)
	}
	return r, nil
}

func (o *logsOptions) run(ctx context.Context, f *cmdutil.Factory, args []string) error {
	s, err := f.State()
	if err != nil {
		return err
	}
	found, err := (&targets{verb: "logs", latest: o.latest}).find(f, s, args)
	if err != nil {
		return err
	}
	var all []*state.Container
	for _, t := range found {
		if t.err != nil {
			return t.err
		}
		all = append(all, t.c)
	}
	return o.show(ctx, f, all)
}

func (o *logsOptions) show(ctx context.Context, f *cmdutil.Factory, all []*state.Container) error {
	opts, err := o.read(time.Now())
	if err != nil {
		return err
	}
	// There is nothing to tidy up: Ctrl-C ends this at once, also while a terminal
	// keeps output back.
	signal.Reset(syscall.SIGINT, syscall.SIGTERM)
	if o.follow {
		var stop context.CancelFunc
		ctx, stop = f.WhileRead(ctx)
		defer stop()
	}
	var sources []logs.Source
	defer func() {
		for _, s := range sources {
			s.Close()
		}
	}()
	for _, c := range all {
		src, err := openLog(ctx, c, opts)
		if err != nil {
			return err
		}
		sources = append(sources, src)
		if o.follow {
			go endWith(c, src)
		}
	}
	out := &logSink{
		logsOptions: o, all: all,
		out: [2]*bufio.Writer{bufio.NewWriterSize(f.Out, 64<<10), bufio.NewWriterSize(f.Err, 64<<10)},
	}
	err = logs.Show(ctx, sources, out, o.follow)
	err = errors.Join(err, out.Flush())
	for i, src := range sources {
		if r, ok := src.(*logs.Reader); ok && r.Missed() > 0 {
			f.Notice(fmt.Sprintf("%s: %d files of the log were deleted before they could be shown", all[i].Name, r.Missed()))
		}
	}
	return err
}

// openLog opens the log of a container.
func openLog(ctx context.Context, c *state.Container, o logs.ReadOptions) (logs.Source, error) {
	cfg, err := monitor.LogConfig(c)
	if err != nil {
		return nil, err
	}
	switch {
	case logs.HasFiles(cfg.Driver):
		return logs.OpenReader(cfg.Path, o)
	case cfg.Driver == logs.Journald:
		return journal.Open(ctx, c.ID, lastEntry(c), o)
	}
	return nil, problem.Hint(fmt.Errorf("logs of %s: its log driver is %s, which keeps nothing", c.Name, cfg.Driver),
		"make the container with: --log-driver k8s-file")
}

// lateEntries is how long the journal may take to take entries in.
const lateEntries = 5 * time.Second

// lastEntry says how the last entry of a container that has ended is known. One whose
// monitor was killed has none.
func lastEntry(c *state.Container) journal.End {
	run, ran, err := c.LastRun()
	if err != nil || !ran || run.Finished.IsZero() {
		return journal.End{}
	}
	return journal.End{Run: monitor.LogRun(run), By: run.Finished.Add(lateEntries)}
}

// endWith ends a log that is followed when nobody looks after the container, who
// could write more to it.
func endWith(c *state.Container, src logs.Source) {
	before, _, _ := c.LastRun() // without it the end is not known
	if err := c.AwaitMonitor(); err != nil {
		return // it is followed until the user ends it
	}
	j, ok := src.(*journal.Reader)
	if !ok {
		src.End()
		return
	}
	_, ran, err := c.LastRun()
	if err == nil && !ran && !before.Started.IsZero() { // it was removed as it ended
		j.EndWith(journal.End{Run: monitor.LogRun(before), By: time.Now().Add(lateEntries)})
		return
	}
	j.EndWith(lastEntry(c))
}

// logSink prints records.
type logSink struct {
	*logsOptions
	all    []*state.Container
	out    [2]*bufio.Writer
	latest logs.Stream
	line   []byte // being made
}

// Put implements logs.Sink. Both streams may be one terminal, so that the former
// one is written out before the other begins.
func (s *logSink) Put(i int, r logs.Record) error {
	if r.Stream != s.latest {
		if err := s.out[s.latest].Flush(); err != nil {
			return err
		}
		s.latest = r.Stream
	}
	s.line = s.line[:0]
	if r.Start {
		s.prefix(i, r.Time)
	}
	s.line = append(s.line, r.Line...)
	if !r.Partial {
		s.line = append(s.line, '\n')
	}
	_, err := s.out[r.Stream].Write(s.line)
	return err
}

// prefix puts before a line whose it is, and when it was written.
func (s *logSink) prefix(i int, t time.Time) {
	if len(s.all) > 1 {
		label := s.all[i].Short()
		if s.names {
			label = s.all[i].Name
		}
		if s.color {
			// Red to cyan (console_codes(4)).
			label = "\x1b[3" + strconv.Itoa(1+i%6) + "m" + label + "\x1b[0m"
		}
		s.line = append(append(s.line, label...), ' ')
	}
	if s.timestamps {
		s.line = append(t.Local().AppendFormat(s.line, logs.TimeFormat), ' ')
	}
}

// Flush implements logs.Sink.
func (s *logSink) Flush() error { return errors.Join(s.out[0].Flush(), s.out[1].Flush()) }
