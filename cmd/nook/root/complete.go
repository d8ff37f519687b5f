package root

import (
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/network"
	"github.com/nook-containers/nook/libpod/secret"
	"github.com/nook-containers/nook/libpod/volume"
)

// object is what a command's arguments name.
type object struct {
	kind string
	most int // how many of them; 0: any number
}

const (
	containers = "container"
	images     = "image"
	volumes    = "volume"
	secrets    = "secret"
	networks   = "network"
)

// objectOf tells what a command takes, by its name without the program's.
func objectOf(command string) (object, bool) {
	noun, verb, nested := strings.Cut(command, " ")
	if !nested {
		noun, verb = "", command
	}
	many, one := func(kind string) (object, bool) { return object{kind, 0}, true }, func(kind string) (object, bool) { return object{kind, 1}, true }
	switch noun {
	case volumes, secrets:
		return keptObject(noun, verb)
	case networks:
		return networkObject(verb)
	case images:
		switch verb {
		case "inspect", "rm":
			return many(images)
		case "exists", "diff", "tree":
			return one(images)
		}
	case containers:
		switch verb {
		case "inspect":
			return many(containers)
		case "exists", "diff", "port add", "port rm":
			return one(containers)
		}
	case "port":
		return one(containers)
	}
	switch verb {
	case "inspect", "init", "kill", "logs", "mount", "pause", "restart", "rm", "start", "stats", "stop", "umount", "unmount", "unpause", "wait":
		return many(containers)
	case "attach", "commit", "diff", "exec", "export", "port", "rename", "top", "update":
		return one(containers)
	case "rmi":
		return many(images)
	case "create", "history", "push", "run", "save", "tag", "untag":
		return one(images)
	}
	return object{}, false
}

// keptObject is objectOf for the verbs of volumes and secrets.
func keptObject(kind, verb string) (object, bool) {
	switch verb {
	case "inspect", "rm", "mount", "unmount":
		return object{kind, 0}, true
	case "exists", "export", "import":
		return object{kind, 1}, true
	}
	return object{}, false
}

// networkObject is objectOf for the verbs of networks.
func networkObject(verb string) (object, bool) {
	switch verb {
	case "inspect", "rm":
		return object{networks, 0}, true
	case "connect", "disconnect", "exists", "update":
		return object{networks, 1}, true
	case "reload":
		return object{containers, 0}, true
	}
	return object{}, false
}

// completeArgs lets the shell complete names of objects. The tree needs it only
// when the shell asks.
func completeArgs(f *cmdutil.Factory, cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		completeArgs(f, sub)
	}
	_, name, _ := strings.Cut(cmd.CommandPath(), " ")
	o, ok := objectOf(name)
	if !ok || cmdutil.IsNoun(cmd) || cmd.ValidArgsFunction != nil {
		return
	}
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		if o.most > 0 && len(args) >= o.most {
			return nil, cobra.ShellCompDirectiveDefault
		}
		names := slices.DeleteFunc(namesOf(f, cmd, o.kind), func(n string) bool { return !strings.HasPrefix(n, typed) || slices.Contains(args, n) })
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// namesOf lists the objects of a kind. What goes wrong only costs the completion.
func namesOf(f *cmdutil.Factory, cmd *cobra.Command, kind string) (names []string) {
	s, err := f.State()
	if err != nil {
		return nil
	}
	switch kind {
	case containers:
		list, _ := s.List()
		for _, c := range list {
			names = append(names, c.Name)
		}
	case volumes:
		list, _ := volume.Of(s).List()
		for _, v := range list {
			names = append(names, v.Name)
		}
	case networks:
		list, _ := network.Of(s).List()
		for _, n := range list {
			names = append(names, n.Name)
		}
	case secrets:
		list, _ := secret.Store{Dir: s.Dir + "/secrets"}.List()
		for _, sec := range list {
			names = append(names, sec.Name)
		}
	case images:
		return imageNames(f, cmd)
	}
	return names
}

// imageNames asks the inner half, which alone reads the store, for the images'
// names and their short forms.
func imageNames(f *cmdutil.Factory, cmd *cobra.Command) (names []string) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil
	}
	defer r.Close()
	text := make(chan string, 1)
	go func() {
		b, _ := io.ReadAll(r) // what is there helps
		text <- string(b)
	}()
	err = f.Also(cmd.Context(), w, "images", "--format", "{{range .Names}}{{.}}\n{{end}}")
	w.Close()
	if list := <-text; err == nil {
		for line := range strings.Lines(list) {
			full := strings.TrimSpace(line)
			if full == "" {
				continue
			}
			names = append(names, full)
			for _, prefix := range []string{"docker.io/library/", "docker.io/", "localhost/"} {
				if short, ok := strings.CutPrefix(full, prefix); ok {
					names = append(names, short, strings.TrimSuffix(short, ":latest"))
					break
				}
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
