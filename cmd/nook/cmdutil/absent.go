package cmdutil

import (
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nook-containers/nook/pkg/problem"
)

// absentTable says why nook lacks what users of podman and Docker may type: a
// line for each reason, with tabs between commands, flags, the reason and, if
// there is some, advice. Commands have commas between; without a flag the line is
// about the command itself. A test keeps it free of what is there by now.
//
//go:embed absent.tsv
var absentTable string

// Absence is something that nook lacks.
type Absence struct {
	Commands []string // without "nook"; "" is the program itself
	Flags    []string // long names and letters; none: the commands are absent
	Reason   string
	Advice   string
}

// Absences lists what nook lacks. It is read only when somebody asks: most
// commands never do.
func Absences() []Absence {
	var all []Absence
	for line := range strings.Lines(absentTable) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) < 3 || strings.HasPrefix(line, "#") {
			continue
		}
		a := Absence{Commands: strings.Split(f[0], ","), Flags: strings.Fields(f[1]), Reason: f[2]}
		if len(f) > 3 {
			a.Advice = f[3]
		}
		all = append(all, a)
	}
	return all
}

// Absent finds why the flag of command, or with flag "" the command, is absent.
func Absent(command, flag string) (Absence, bool) {
	for _, name := range spellings(command) {
		for _, a := range Absences() {
			covers := flag == "" && len(a.Flags) == 0 || flag != "" && slices.Contains(a.Flags, flag)
			if covers && slices.Contains(a.Commands, name) {
				return a, true
			}
		}
	}
	return Absence{}, false
}

// spellings are the names under which the table may have a command: "container
// run" is "run", and "network create" goes with "network".
func spellings(command string) []string {
	names := []string{command}
	for _, noun := range []string{"container ", "image ", "system "} {
		if verb, ok := strings.CutPrefix(command, noun); ok {
			names = append(names, verb)
		}
	}
	if noun, _, ok := strings.Cut(command, " "); ok {
		names = append(names, noun+" *")
	}
	return names
}

// path is the command without the program's name.
func path(cmd *cobra.Command) string {
	_, rest, _ := strings.Cut(cmd.CommandPath(), " ")
	return rest
}

// FlagError explains a flag that the command line has and the command does not.
func FlagError(cmd *cobra.Command, err error) error {
	unknown, ok := errors.AsType[*pflag.NotExistError](err)
	if !ok {
		return problem.Hint(err, "run: %s --help", cmd.CommandPath())
	}
	flag := unknown.GetSpecifiedName()
	dashed := "--" + flag
	if unknown.GetSpecifiedShortnames() != "" {
		flag = flag[:1]
		dashed = "-" + flag
	}
	for _, command := range []string{path(cmd), ""} {
		if a, ok := Absent(command, flag); ok {
			return a.refuse(strings.TrimSpace(command + " " + dashed))
		}
	}
	return problem.Hint(err, "run: %s --help", cmd.CommandPath())
}

// CommandError explains a word that is no command of cmd.
func CommandError(cmd *cobra.Command, word string) error {
	name := strings.TrimSpace(path(cmd) + " " + word)
	if a, ok := Absent(name, ""); ok {
		return a.refuse(name)
	}
	err := fmt.Errorf("unknown command %q for %s", word, cmd.CommandPath())
	cmd.SuggestionsMinimumDistance = 2 // letters that may be wrong
	if near := cmd.SuggestionsFor(word); len(near) > 0 {
		return problem.Hint(err, "there is: %s %s", cmd.CommandPath(), strings.Join(near, " or "))
	}
	return problem.Hint(err, "run: %s --help", cmd.CommandPath())
}

func (a Absence) refuse(what string) error {
	err := fmt.Errorf("%s: %s", what, a.Reason)
	if a.Advice == "" {
		return err
	}
	return problem.Hint(err, "%s", a.Advice)
}
