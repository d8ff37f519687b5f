package container

import (
	"errors"
	"fmt"
	"os/user"

	"github.com/spf13/pflag"

	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/syntax"
	"github.com/nook-containers/nook/pkg/problem"
)

// idFlags are the flags that say which ids a container has, one by one.
type idFlags struct {
	uidmap, gidmap []string
	subUID, subGID string
}

func (o *idFlags) add(f *pflag.FlagSet) {
	f.StringArrayVar(&o.uidmap, "uidmap", nil, "users in a user namespace of its own: [+][u|g]CONTAINER:[@]HOST[:SIZE]; without @ 0 is you, and 1 upward your subordinate ids")
	f.StringArrayVar(&o.gidmap, "gidmap", nil, "groups in the same way; without it as --uidmap")
	f.StringVar(&o.subUID, "subuidname", "", "a user namespace of its own with the subordinate users of this name: yours")
	f.StringVar(&o.subGID, "subgidname", "", "the same for groups")
}

func (o *idFlags) read(u *spec.UserNS, set *pflag.FlagSet) error {
	maps, names := len(o.uidmap)+len(o.gidmap) > 0, o.subUID != "" || o.subGID != ""
	switch {
	case !maps && !names:
		return nil
	case set.Changed("userns"):
		return errors.New("--userns excludes --uidmap, --gidmap, --subuidname and --subgidname")
	case maps && names:
		return errors.New("--subuidname and --subgidname exclude --uidmap and --gidmap")
	case names:
		u.Mode = spec.UserNSNoMap // your subordinate ids, and nothing else
		return errors.Join(ownName("subuidname", o.subUID), ownName("subgidname", o.subGID))
	}
	uids, gids, err := syntax.IDMaps(o.uidmap, o.gidmap)
	if err != nil {
		return err
	}
	*u = spec.UserNS{Mode: spec.UserNSCustom, UIDMap: uids, GIDMap: gids}
	return nil
}

// ownName refuses names of others: newuidmap(1) gives nobody the ranges of another
// user.
func ownName(flag, name string) error {
	if name == "" {
		return nil
	}
	me, err := user.Current()
	if err != nil {
		return fmt.Errorf("--%s: %w", flag, err)
	}
	if name == me.Username || name == me.Uid {
		return nil
	}
	return problem.Hint(fmt.Errorf("--%s %s: the subordinate ids of another user cannot be used without being root", flag, name),
		"use your own name: --%s %s", flag, me.Username)
}
