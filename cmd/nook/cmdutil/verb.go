package cmdutil

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// A Verb makes a command when it is asked for. Making all of them, with their
// flags, takes longer than most of them run.
type Verb struct {
	Names string // its name and aliases, separated by spaces
	New   func(*Factory) *cobra.Command
	Verbs []Verb // of a noun
}

// Noun is the command that has verbs, and does nothing without one.
func Noun(name, short string, verbs []Verb) Verb {
	return Verb{Names: name, Verbs: verbs, New: func(*Factory) *cobra.Command {
		return &cobra.Command{Use: name, Short: short, RunE: NeedVerb}
	}}
}

// IsNoun reports whether cmd does nothing without one of its verbs: there is no
// example of it alone.
func IsNoun(cmd *cobra.Command) bool { return cmd.HasSubCommands() && cmd.Example == "" }

// Commands makes the command that words[0] names, and of a noun's verbs the one
// that words[1] names. Where none has the name, as in a request for help, a typo or
// shell completion, it makes all of them.
func Commands(f *Factory, verbs []Verb, words []string) []*cobra.Command {
	wanted, rest := verbs, []string(nil)
	if len(words) > 0 {
		i := slices.IndexFunc(verbs, func(v Verb) bool { return slices.Contains(strings.Fields(v.Names), words[0]) })
		if i >= 0 {
			wanted, rest = verbs[i:i+1], words[1:]
		}
	}
	cmds := make([]*cobra.Command, len(wanted))
	for i, v := range wanted {
		cmds[i] = v.New(f)
		cmds[i].AddCommand(Commands(f, v.Verbs, rest)...)
	}
	return cmds
}

// Words returns the words of a command line up to the first flag behind one. In
// front of them may be flags of set; behind one that is not in set nothing can be
// told from a flag's value.
func Words(set *pflag.FlagSet, args []string) []string {
	for len(args) > 0 && strings.HasPrefix(args[0], "--") {
		name, _, hasValue := strings.Cut(args[0][2:], "=")
		flag := set.Lookup(name)
		if flag == nil {
			return nil
		}
		n := 2
		if hasValue || flag.NoOptDefVal != "" {
			n = 1
		}
		args = args[min(n, len(args)):]
	}
	end := slices.IndexFunc(args, func(a string) bool { return strings.HasPrefix(a, "-") })
	if end >= 0 {
		args = args[:end]
	}
	return args
}
