package root_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/cmd/nook/root"
)

const absentFile = "../cmdutil/absent.tsv"

// feature is a line of testdata/features.tsv: what users of podman and Docker may
// type, and how much its absence would hurt.
type feature struct {
	command    string   // without the program's name
	flags      []string // long name and letter; none: the command itself
	importance string   // core, expected, nice or skip
}

func (f feature) wanted() bool { return f.importance == "core" || f.importance == "expected" }

func features(t *testing.T) []feature {
	t.Helper()
	var all []feature
	for line := range strings.Lines(readFile(t, "testdata/features.tsv")) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 3 || !slices.Contains([]string{"core", "expected", "nice", "skip"}, f[2]) {
			t.Fatalf("features.tsv: %q: want command, flag, importance", line)
		}
		ft := feature{command: f[0], importance: f[2]}
		if f[1] != "" {
			ft.flags = strings.Split(f[1], "/")
		}
		all = append(all, ft)
	}
	if len(all) < 500 {
		t.Fatalf("features.tsv has only %d lines", len(all))
	}
	return all
}

// find returns the command of that name, or nil.
func find(tree *cobra.Command, name string) *cobra.Command {
	words := strings.Fields(name)
	cmd, rest, err := tree.Find(words)
	if err != nil || len(rest) > 0 {
		return nil
	}
	return cmd
}

// hasFlag takes a flag's long name, another spelling of it, or its letter.
func hasFlag(cmd *cobra.Command, flag string) bool {
	cmd.InitDefaultHelpFlag()
	cmd.InitDefaultVersionFlag()
	if len(flag) == 1 {
		return cmd.Flags().ShorthandLookup(flag) != nil
	}
	return cmd.Flags().Lookup(flag) != nil || cmd.InheritedFlags().Lookup(flag) != nil || cmd.PersistentFlags().Lookup(flag) != nil
}

// TestFeatures compares what the field has with what nook has: a core or expected
// command or flag is there, or absent.tsv says why not.
func TestFeatures(t *testing.T) {
	tree := root.New(&cmdutil.Factory{Version: "test"})
	for _, f := range features(t) {
		cmd := find(tree, f.command)
		if cmd == nil {
			if _, ok := cmdutil.Absent(f.command, ""); !ok && f.wanted() {
				t.Errorf("nook %s (%s): not there, and absent.tsv does not say why", f.command, f.importance)
			}
			continue
		}
		for _, flag := range f.flags {
			if hasFlag(cmd, flag) {
				continue
			}
			if _, ok := cmdutil.Absent(f.command, flag); !ok && f.wanted() {
				t.Errorf("nook %s: no flag %s (%s), and absent.tsv does not say why", f.command, flag, f.importance)
			}
		}
	}
}

// TestAbsent: what absent.tsv lists is absent, and whoever types it is told why.
func TestAbsent(t *testing.T) {
	tree := root.New(&cmdutil.Factory{Version: "test"})
	if *updateDocs {
		dropPresent(t, tree)
		return // the table is part of the program: the next run has the new one
	}
	for _, a := range cmdutil.Absences() {
		for _, command := range a.Commands {
			name := strings.TrimSuffix(command, " *")
			if len(a.Flags) == 0 {
				if cmd := find(tree, name); cmd != nil && cmd != tree && name == command {
					t.Errorf("absent.tsv: nook %s is there; run: make docs", name)
				}
				refused(t, a, strings.Fields(name)...)
			}
			for _, flag := range a.Flags {
				if cmd := find(tree, name); cmd == nil || hasFlag(cmd, flag) {
					t.Errorf("absent.tsv: nook %s: flag %s is there, or there is no such command; run: make docs", command, flag)
					continue
				}
				dashed := "--" + flag
				if len(flag) == 1 {
					dashed = "-" + flag
				}
				refused(t, a, append(strings.Fields(name), dashed)...)
			}
		}
	}
}

// refused runs the program and wants the reason, and nook's own exit status.
func refused(t *testing.T, a cmdutil.Absence, args ...string) {
	t.Helper()
	out, err := os.CreateTemp(t.TempDir(), "stderr")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	status := root.Main(context.Background(), &cmdutil.Factory{
		Streams: cmdutil.Streams{In: out, Out: out, Err: out}, Args: args,
	})
	said := readFile(t, out.Name())
	if status != cmdutil.ExitFailure || !strings.Contains(said, a.Reason) || a.Advice != "" && !strings.Contains(said, "hint: "+a.Advice) {
		t.Errorf("nook %s: status %d and %q, want 125 and %q", strings.Join(args, " "), status, said, a.Reason)
	}
}

// dropPresent rewrites absent.tsv without what is there by now.
func dropPresent(t *testing.T, tree *cobra.Command) {
	t.Helper()
	var kept []string
	for line := range strings.Lines(readFile(t, absentFile)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) < 3 || strings.HasPrefix(line, "#") {
			kept = append(kept, line)
			continue
		}
		kept = append(kept, stillAbsent(tree, f)...)
	}
	path, err := filepath.Abs(absentFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.Join(kept, "")), 0o644); err != nil {
		t.Fatal(err)
	}
}

// stillAbsent returns the lines that remain of one: commands that lack the same
// flags stay together.
func stillAbsent(tree *cobra.Command, f []string) []string {
	var order []string
	commands := map[string][]string{}
	for command := range strings.SplitSeq(f[0], ",") {
		cmd := find(tree, strings.TrimSuffix(command, " *"))
		flags := slices.DeleteFunc(strings.Fields(f[1]), func(flag string) bool { return cmd != nil && hasFlag(cmd, flag) })
		if f[1] != "" && len(flags) == 0 || f[1] == "" && cmd != nil && cmd != tree {
			continue
		}
		key := strings.Join(flags, " ")
		if commands[key] == nil {
			order = append(order, key)
		}
		commands[key] = append(commands[key], command)
	}
	var lines []string
	for _, key := range order {
		lines = append(lines, strings.Join(append([]string{strings.Join(commands[key], ","), key}, f[2:]...), "\t")+"\n")
	}
	return lines
}
