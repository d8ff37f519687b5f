package system

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/pkg/cgroups"
	"github.com/nook-containers/nook/pkg/config"
	"github.com/nook-containers/nook/pkg/config/regconf"
	"github.com/nook-containers/nook/pkg/doctor"
	"github.com/nook-containers/nook/pkg/problem/remedy"
	"github.com/nook-containers/nook/pkg/store"
	"github.com/nook-containers/nook/slirp/forward"
	"github.com/nook-containers/nook/userns"
)

// checks are all checks that need no namespace, in the order of the report.
func checks() []func(*doctor.Host) []doctor.Result {
	return []func(*doctor.Host) []doctor.Result{
		doctor.Kernel,
		doctor.Container,
		userns.Examine,
		doctor.Disk,
		store.ExamineFuse,
		forward.Examine,
		doctor.Session,
		cgroups.Examine,
		doctor.Limits,
		doctor.Clock,
		regconf.Examine,
		doctor.Leftovers,
	}
}

type doctorOptions struct {
	fix, json, quiet, script, inside bool
}

func newDoctor(f *cmdutil.Factory) *cobra.Command {
	var o doctorOptions
	cmd := &cobra.Command{
		Use:   "doctor [flags]",
		Short: "Find what keeps nook from working here, and how to change it",
		Long: `Find what keeps nook from working here, and how to change it. For each thing that
nook needs it says whether it is there, what it means if it is not, and the command
that helps. At the end it prints all commands that root has to run as one script;
it can be run again. Choices, which nook does without, stand in it as comments.

Exit status: 0 if there is no problem (warnings do not count), 1 if there is one,
125 if the check itself failed.`,
		Example: "  nook doctor\n  nook doctor --quiet || nook doctor --json >report.json\n  nook doctor --script >fix.sh; sudo sh fix.sh",
		Args:    cobra.NoArgs,
	}
	cmd.Flags().BoolVar(&o.script, "script", false, "print only the script for root")
	cmd.Flags().BoolVar(&o.fix, "fix", false, "do what needs no root, and say what was done")
	cmd.Flags().BoolVar(&o.json, "json", false, "print everything as JSON")
	cmd.Flags().BoolVarP(&o.quiet, "quiet", "q", false, "print problems only")
	cmd.Flags().BoolVar(&o.inside, "inside", false, "try what needs nook's namespace, and print JSON")
	cmd.Flags().Lookup("inside").Hidden = true
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), f) }
	return cmd
}

func (o doctorOptions) run(ctx context.Context, f *cmdutil.Factory) error {
	if o.inside {
		return doctorInside(f)
	}
	if o.json && (o.quiet || o.script) || o.quiet && o.script {
		return errors.New("--json, --quiet and --script exclude each other")
	}
	report, err := examine(ctx, f)
	if err != nil {
		return err
	}
	if o.fix {
		if report, err = o.repair(ctx, f, report); err != nil {
			return err
		}
	}
	if err := o.print(f.Out, report); err != nil {
		return err
	}
	if report.Count(doctor.Problem) > 0 {
		return &cmdutil.ExitError{Code: 1}
	}
	return nil
}

func (o doctorOptions) print(w io.Writer, r doctor.Report) error {
	text := ""
	switch {
	case o.json:
		return printDoctorJSON(w, r)
	case o.script:
		text = r.Script()
	case o.quiet:
		text = lines(slices.DeleteFunc(slices.Clone(r.Results), func(one doctor.Result) bool { return one.Level != doctor.Problem }))
	default:
		text = lines(r.Results) + summary(r)
	}
	_, err := io.WriteString(w, text)
	return err
}

// examine runs all checks, and tries what only trying tells in nook's namespace.
func examine(ctx context.Context, f *cmdutil.Factory) (doctor.Report, error) {
	p, err := f.Paths()
	if err != nil {
		return doctor.Report{}, err
	}
	h := &doctor.Host{Env: f.Environ, UID: config.HostUID(), Data: p.Data, Run: p.Run}
	var r doctor.Report
	for _, check := range checks() {
		r.Results = append(r.Results, check(h)...)
	}
	var tried []doctor.Result
	err = askInside(ctx, f, &tried, "doctor", "--inside")
	if err != nil && r.Count(doctor.Problem) == 0 { // else its cause is among them
		r.Results = append(r.Results, doctor.FromError("start", doctor.Problem, err, "No container starts."))
	}
	r.Results = merge(r.Results, tried)
	return r, nil
}

// merge puts what trying told in the place of what looking told, unless that is a
// problem already, with its remedy.
func merge(looked, tried []doctor.Result) []doctor.Result {
	for _, t := range tried {
		at := slices.IndexFunc(looked, func(l doctor.Result) bool { return l.Check == t.Check })
		switch {
		case at < 0:
			looked = append(looked, t)
		case looked[at].Level != doctor.Problem:
			looked[at] = t
		}
	}
	return looked
}

// doctorInside tries what needs nook's namespace.
func doctorInside(f *cmdutil.Factory) error {
	root, _, err := f.StoreDirs()
	if err != nil {
		return err
	}
	h := &doctor.Host{}
	return json.NewEncoder(f.Out).Encode(append(store.Examine(h.Nearest(root)), forward.Try()...))
}

// repair does what needs no root and looks again.
func (o doctorOptions) repair(ctx context.Context, f *cmdutil.Factory, r doctor.Report) (doctor.Report, error) {
	say := func(format string, args ...any) {
		if !o.json && !o.script {
			fmt.Fprintf(f.Out, format+"\n", args...)
		}
	}
	done := 0
	var errs []error
	for _, one := range r.Results {
		if one.Do == nil || one.Level == doctor.OK {
			continue
		}
		did, err := one.Do()
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", one.Check, err))
			continue
		}
		done++
		say("fixed    %s: %s", one.Check, did)
	}
	if err := errors.Join(errs...); err != nil {
		return r, err
	}
	if done == 0 {
		say("nothing to fix that needs no root")
		return r, nil
	}
	return examine(ctx, f)
}

func printDoctorJSON(w io.Writer, r doctor.Report) error {
	return cmdutil.WriteJSON(w, struct {
		Problems int    `json:"problems"`
		Warnings int    `json:"warnings"`
		Script   string `json:"script"` // for root
		doctor.Report
	}{r.Count(doctor.Problem), r.Count(doctor.Warning), r.Script(), r})
}

// lines are results for people.
func lines(results []doctor.Result) string {
	var b strings.Builder
	for _, one := range results {
		fmt.Fprintf(&b, "%-8s %s: %s\n", one.Level, one.Check, one.Found)
		if one.Means != "" {
			fmt.Fprintf(&b, "         %s\n", one.Means)
		}
		switch {
		case one.Fix != "" && one.Level == doctor.OK:
			fmt.Fprintf(&b, "         if you want to change it, run: %s\n", one.Fix)
		case one.Fix != "":
			fmt.Fprintf(&b, "         run: %s\n", one.Fix)
		}
		if one.Advice != "" {
			fmt.Fprintf(&b, "         %s\n", one.Advice)
		}
	}
	return b.String()
}

func summary(r doctor.Report) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s, %s\n", plural(r.Count(doctor.Problem), "problem"), plural(r.Count(doctor.Warning), "warning"))
	needed := slices.ContainsFunc(r.Results, func(one doctor.Result) bool { return one.Level != doctor.OK && remedy.NeedsRoot(one.Fix) })
	if needed {
		fmt.Fprintf(&b, "\nWhat needs root, as one script (nook doctor --script):\n\n%s", r.Script())
	}
	return b.String()
}

func plural(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
