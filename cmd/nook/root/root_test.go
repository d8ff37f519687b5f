package root

import (
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
)

// A verb is made alone when its name or an alias is asked for: the table must
// have them all.
func TestVerbsHaveTheirCommandsNames(t *testing.T) {
	f := &cmdutil.Factory{}
	var check func(verbs []cmdutil.Verb, path string)
	check = func(verbs []cmdutil.Verb, path string) {
		seen := map[string]bool{}
		for _, v := range verbs {
			cmd := v.New(f)
			want := append([]string{cmd.Name()}, cmd.Aliases...)
			if got := strings.Fields(v.Names); !slices.Equal(got, want) {
				t.Errorf("%s: the table has %q, the command %q", path, got, want)
			}
			for _, n := range want {
				if seen[n] {
					t.Errorf("%s: two commands are called %q", path, n)
				}
				seen[n] = true
			}
			check(v.Verbs, path+" "+cmd.Name())
		}
	}
	check(verbs(), "nook")
}

// Whatever the command line, the command that runs is the one that the whole tree
// has for it.
func TestOneVerbOrAll(t *testing.T) {
	for line, want := range map[string]struct {
		path string
		made int // commands at the top level, 0: all
	}{
		"run -it debian ls":                {"nook run", 1},
		"--root /x --runroot=/y ps -a":     {"nook ps", 1},
		"container ls":                     {"nook container ps", 1},
		"container --help":                 {"nook container", 1},
		"image ls":                         {"nook image list", 1},
		"--nonsense run":                   {"nook", 0},
		"rum":                              {"nook", 0},
		"":                                 {"nook", 0},
		"--root":                           {"nook", 0},
		"oci --root /x state c":            {"nook oci state", 1},
		"--storage-opt a=b volume list -q": {"nook volume ls", 1},
	} {
		f := &cmdutil.Factory{Args: strings.Fields(line)}
		cmd := newRoot(f)
		words := cmdutil.Words(cmd.PersistentFlags(), f.Args)
		cmds := cmdutil.Commands(f, verbs(), words)
		if want.made > 0 && len(cmds) != want.made || want.made == 0 && len(cmds) != len(verbs()) {
			t.Errorf("%q: made %d commands", line, len(cmds))
		}
		cmd.AddCommand(cmds...)
		for _, tree := range []*cobra.Command{cmd, New(f)} {
			if got, _, err := tree.Find(f.Args); got.CommandPath() != want.path {
				t.Errorf("%q: found %q, %v, want %q", line, got.CommandPath(), err, want.path)
			}
		}
	}
}
