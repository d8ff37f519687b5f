package system

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
)

// askInside runs another command of this program in nook's namespace and decodes
// the JSON that it prints.
func askInside(ctx context.Context, f *cmdutil.Factory, answer any, args ...string) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	got := make(chan error, 1)
	go func() { got <- json.NewDecoder(r).Decode(answer) }()
	err = f.Also(ctx, w, args...)
	w.Close()
	derr := <-got
	if exit, ok := errors.AsType[*cmdutil.ExitError](err); ok && exit.Err == nil {
		return fmt.Errorf("nook ended in its own namespace with status %d", exit.Code)
	}
	if err != nil {
		return err
	}
	return derr
}
