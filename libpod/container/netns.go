package container

import (
	"errors"
	"fmt"
	"os"

	"github.com/nook-containers/nook/libpod/netd/member"
	"github.com/nook-containers/nook/libpod/network"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/problem"
)

// NetworkNamespace opens the namespace of a network, whose process starts if it does
// not run and stays until leave is called.
func NetworkNamespace(s state.Store, nameOrID string) (ns *os.File, leave func(), err error) {
	n := &Nets{state: s, store: network.Of(s)}
	found, err := n.store.Lookup(nameOrID)
	if err != nil {
		if errors.Is(err, network.ErrNotFound) {
			err = problem.Hint(err, "run: nook network ls")
		}
		return nil, nil, err
	}
	j := &joining{use: spec.NetworkUse{Name: found.Name}, dir: n.store.RunDir(found.Name), warm: make(chan error, 1)}
	if err := n.begin(j); err != nil {
		return nil, nil, err
	}
	err = j.ready()
	r := member.Request{Op: member.Namespace, Network: &j.network, Store: storeOf(s)}
	var got member.Entered
	if err == nil {
		got.Reply, got.Files, err = j.conn.Ask(r)
	}
	if member.Lost(err) {
		j.leave()
		j.conn, got, err = member.Enter(j.dir, r)
	}
	if err == nil && len(got.Files) != 1 {
		err = fmt.Errorf("network %s: its process gave no namespace", found.Name)
	}
	if err != nil {
		j.leave()
		return nil, nil, explainNet(found.Name, err)
	}
	return got.Files[0], func() { _ = got.Files[0].Close(); j.leave() }, nil
}
