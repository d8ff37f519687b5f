package cmdutil

import (
	"bufio"
	"errors"
	"fmt"
	"strings"

	"github.com/nook-containers/nook/pkg/problem"
)

// Confirm asks the user whether to go on, unless force is set. It asks once, in the
// half of the command that is outside: the other one is only started after a yes.
// No answer is an error, so that a script notices.
func (f *Factory) Confirm(what string, force bool) (bool, error) { //nolint:revive // the flag's value
	if force || f.Inside {
		return true, nil
	}
	fmt.Fprintf(f.Err, "WARNING! %s\nAre you sure you want to continue? [y/N] ", what)
	answer, err := bufio.NewReader(f.In).ReadString('\n')
	if err != nil && answer == "" {
		return false, problem.Hint(errors.New("no answer"), "add: --force")
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return true, nil
	}
	return false, nil
}
