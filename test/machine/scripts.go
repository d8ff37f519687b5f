package machine

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// The kinds of machines.
const (
	Sandbox = "sandbox"
	VM      = "vm"
	Every   = "every" // in a VM, also what is for a sandbox alone: there is no root for one
)

// Script is one end-to-end script as its comment describes it.
type Script struct {
	Name        string   // of the file, without .txtar
	Machines    []string // kinds in which it runs with every run of the tests
	AfterReboot bool     // it finds what a script of the same run left before
	Images      []string // fixtures that it uses beside busybox
}

const marker = "# machines: "

// afterReboot ends the line of machines.
const afterReboot = ", after a reboot"

// ParseScript reads what the first comment of a script says about machines:
//
//	# machines: sandbox vm
//	# machines: vm, after a reboot
func ParseScript(name, text string) (Script, error) {
	s := Script{Name: name}
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "#") {
			break
		}
		kinds, ok := strings.CutPrefix(strings.TrimSpace(line), marker)
		if !ok {
			continue
		}
		kinds, s.AfterReboot = strings.CutSuffix(kinds, afterReboot)
		s.Machines = strings.Fields(kinds)
		for _, k := range s.Machines {
			if k != Sandbox && k != VM {
				return s, fmt.Errorf("%s: no machine is a %q", name, k)
			}
		}
		if len(s.Machines) == 0 {
			return s, fmt.Errorf("%s: %q names no machine", name, strings.TrimSpace(line))
		}
	}
	if strings.Contains(text, "$DEBIAN") {
		s.Images = append(s.Images, "debian")
	}
	if strings.Contains(text, "$REGISTRY") {
		s.Images = append(s.Images, "registry")
	}
	return s, nil
}

// ReadScripts reads all scripts of a directory, by name.
func ReadScripts(dir string) ([]Script, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.txtar"))
	if err != nil {
		return nil, err
	}
	var all []Script
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		s, err := ParseScript(strings.TrimSuffix(filepath.Base(f), ".txtar"), string(text))
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// Choose returns the scripts for a kind of machine, which may be Every; with an
// expression, those whose names match, wherever they usually run.
func Choose(all []Script, kind, expression string) ([]Script, error) {
	match, err := regexp.Compile(expression)
	if err != nil {
		return nil, err
	}
	var chosen []Script
	for _, s := range all {
		marked := slices.Contains(s.Machines, kind) || kind == Every && len(s.Machines) > 0
		if expression == "" && marked || expression != "" && match.MatchString(s.Name) {
			chosen = append(chosen, s)
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("no script for a %s matches %q", kind, expression)
	}
	return chosen, nil
}
