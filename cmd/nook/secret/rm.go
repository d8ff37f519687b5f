package secret

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/secret"
	"github.com/nook-containers/nook/pkg/problem"
)

func newRemove(f *cmdutil.Factory) *cobra.Command {
	var all, ignore bool
	cmd := &cobra.Command{
		Use:     "rm [flags] SECRET...",
		Aliases: []string{"remove"},
		Short:   "Remove secrets",
		Long:    "Remove secrets and print their ids. A container that runs keeps what it has; one\nthat is started later misses it.",
		Example: "  nook secret rm db-password\n  nook secret rm --all",
		RunE: func(cmd *cobra.Command, args []string) error {
			if all == (len(args) > 0) {
				return problem.Hint(errors.New("secret rm: give secrets, or --all"), "run: nook secret rm --help")
			}
			s, err := open(f)
			if err != nil {
				return err
			}
			var errs []error
			found, missing := pick(s, args, all)
			for _, err := range missing {
				if !ignore || !errors.Is(err, secret.ErrNotFound) {
					errs = append(errs, err)
				}
			}
			for _, sec := range found {
				if err := s.Remove(cmd.Context(), sec); err != nil {
					errs = append(errs, err)
					continue
				}
				fmt.Fprintln(f.Out, sec.ID)
			}
			return errors.Join(errs...)
		},
	}
	fl := cmd.Flags()
	fl.BoolVarP(&all, "all", "a", false, "every secret")
	fl.BoolVarP(&ignore, "ignore", "i", false, "a missing secret is no error")
	return cmd
}

func pick(s secret.Store, names []string, all bool) (found []*secret.Secret, errs []error) { //nolint:revive // flag-parameter: it is --all
	if all {
		return s.List()
	}
	for _, name := range names {
		sec, err := s.Lookup(name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		found = append(found, sec)
	}
	return found, errs
}
