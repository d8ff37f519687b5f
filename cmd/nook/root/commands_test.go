package root_test

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/cmd/nook/root"
)

var updateDocs = flag.Bool("update", false, "write docs/commands.md and drop what is there by now from absent.tsv")

const commandsDoc = "../../../docs/commands.md"

// TestDocsCommands keeps docs/commands.md the table of what the program has: every
// command, its other names, every flag, its default and its help.
func TestDocsCommands(t *testing.T) {
	want := commandTable(root.New(&cmdutil.Factory{Version: "test"}))
	if *updateDocs {
		if err := os.WriteFile(commandsDoc, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := readFile(t, commandsDoc); got != want {
		t.Errorf("docs/commands.md is out of date; run: make docs\n%s", firstDifference(got, want))
	}
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("line %d:\n has  %s\n want %s", i+1, g[i], w[i])
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(g), len(w))
}

// leaf is a command that does something, under every name it has.
type leaf struct {
	cmd   *cobra.Command
	names []string // without the program's
}

// leaves lists the commands below root, the shortest of their names first. The same
// verb at the top level and below its noun is one.
func leaves(root *cobra.Command) []leaf {
	var all []leaf
	var visit func(*cobra.Command)
	visit = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			visit(sub)
		}
		if cmdutil.IsNoun(c) || c.Name() == "help" {
			return
		}
		names := namesOf(c)
		for i := range all {
			if sameVerb(all[i].cmd, c) {
				all[i].names = append(all[i].names, names...)
				return
			}
		}
		all = append(all, leaf{c, names})
	}
	visit(root)
	for _, l := range all {
		slices.SortFunc(l.names, func(a, b string) int {
			if n := strings.Count(a, " ") - strings.Count(b, " "); n != 0 {
				return n
			}
			return strings.Compare(a, b)
		})
	}
	slices.SortFunc(all, func(a, b leaf) int { return strings.Compare(a.names[0], b.names[0]) })
	return all
}

func namesOf(c *cobra.Command) []string {
	_, name, _ := strings.Cut(c.CommandPath(), " ")
	names := []string{name}
	for _, a := range c.Aliases {
		names = append(names, strings.TrimSuffix(name, c.Name())+a)
	}
	return names
}

func sameVerb(a, b *cobra.Command) bool {
	return a.Short == b.Short && a.Long == b.Long && a.Long != "" && flagRows(a.LocalFlags()) == flagRows(b.LocalFlags())
}

func commandTable(root *cobra.Command) string {
	var b strings.Builder
	b.WriteString("# Commands\n\nEvery command, its other names, and every flag with its default. Made by `make docs` from the program; " +
		"a test compares them.\n\n## nook\n\nFlags before or after any command:\n\n")
	b.WriteString(flagRows(root.PersistentFlags()))
	for _, l := range leaves(root) {
		fmt.Fprintf(&b, "\n## nook %s\n\n%s.", l.names[0], l.cmd.Short)
		if len(l.names) > 1 {
			fmt.Fprintf(&b, " Also `nook %s`.", strings.Join(l.names[1:], "`, `nook "))
		}
		fmt.Fprintf(&b, "\n\n    %s\n", l.cmd.UseLine())
		if rows := flagRows(l.cmd.LocalFlags()); rows != "" {
			b.WriteString("\n" + rows)
		}
	}
	return b.String()
}

func flagRows(fs *pflag.FlagSet) string {
	var b strings.Builder
	fs.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		if b.Len() == 0 {
			b.WriteString("| flag | default | |\n|---|---|---|\n")
		}
		name := "`--" + f.Name + "`"
		if f.Shorthand != "" {
			name += " `-" + f.Shorthand + "`"
		}
		kind, usage := pflag.UnquoteUsage(f)
		if kind != "" {
			kind = " " + kind
		}
		value := f.DefValue
		switch value {
		case "", "[]", "false":
			value = ""
		case runtime.GOARCH:
			value = "this machine's"
		default:
			value = "`" + value + "`"
		}
		fmt.Fprintf(&b, "| %s%s | %s | %s |\n", name, strings.ReplaceAll(kind, "|", `\|`), value, strings.ReplaceAll(usage, "|", `\|`))
	})
	return b.String()
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
