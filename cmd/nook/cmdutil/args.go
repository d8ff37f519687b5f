package cmdutil

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/pkg/problem"
)

// ExitFailure is nook's own exit status, which scripts can tell from a
// container's.
const ExitFailure = 125

// MinArgs wants at least n arguments; what names the first one in the error.
func MinArgs(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < n {
			return problem.Hint(fmt.Errorf("%s needs %s", cmd.Name(), what), "run: %s --help", cmd.CommandPath())
		}
		return nil
	}
}

// ExactArgs wants n arguments.
func ExactArgs(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > n {
			return problem.Hint(fmt.Errorf("%s: unexpected argument %q", cmd.Name(), args[n]), "run: %s --help", cmd.CommandPath())
		}
		return MinArgs(n, what)(cmd, args)
	}
}

// NeedVerb is the RunE of a command that only groups others.
func NeedVerb(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	return CommandError(cmd, args[0])
}

// NotYet refuses what users of other tools expect and nook does not do.
func NotYet(what, instead string) error {
	return problem.Hint(fmt.Errorf("%s: not there yet", what), "%s", instead)
}

// Hinted joins object, cause and advice.
func Hinted(object string, err error, advice string) error {
	return problem.Hint(fmt.Errorf("%s: %w", object, err), "%s", advice)
}
