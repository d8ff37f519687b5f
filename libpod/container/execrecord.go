package container

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/oci"
	"github.com/nook-containers/nook/pkg/oci/seccomp"
	"github.com/nook-containers/nook/pkg/statefile"
)

// execRecord is what a command that joins a running container must know of its
// start. It is on disk for this boot, since who joins has neither the image nor
// the host's configuration of that moment, and does not wait for a filter to be
// compiled once more.
type execRecord struct {
	Version      int            `json:"version"`
	Process      *specs.Process `json:"process"`
	Seccomp      []byte         `json:"seccomp,omitempty"`      // struct sock_filter, native byte order
	SeccompFlags uint           `json:"seccompFlags,omitempty"` // of seccomp(2)
	KeepGroups   bool           `json:"keepGroups,omitempty"`   // its user keeps our supplementary groups
	Cgroup       string         `json:"cgroup,omitempty"`       // its directory, where it has a cgroup of its own
	Unit         string         `json:"unit,omitempty"`         // the systemd scope that Cgroup is in, where there is one
	Limited      bool           `json:"limited,omitempty"`      // it asked for its cgroup: nothing may run outside
}

const execFile = "exec.json"

// newExecRecord is the record of a container that is about to be made. Secrets that are
// variables are left out: no file has them.
func newExecRecord(cfg oci.Config, asked spec.Container, place *Placement) execRecord {
	p := *cfg.Spec.Process
	p.Env = slices.DeleteFunc(slices.Clone(p.Env), func(e string) bool {
		name, _, _ := strings.Cut(e, "=")
		return slices.ContainsFunc(asked.Secrets, func(s spec.Secret) bool { return s.Type == spec.SecretEnv && s.Target == name })
	})
	r := execRecord{Version: spec.Version, Process: &p, KeepGroups: cfg.KeepGroups}
	if cfg.Filter != nil {
		r.Seccomp, r.SeccompFlags = cfg.Filter.Program, cfg.Filter.Flags
	}
	if cfg.Cgroup != nil {
		r.Cgroup, r.Unit, r.Limited = place.Dir(), place.Unit(), place.Wanted(asked)
	}
	return r
}

// write puts r beside the container's other files of this boot.
func (r execRecord) write(bundle string) error {
	if err := statefile.WriteVolatile(filepath.Join(bundle, execFile), r); err != nil {
		return fmt.Errorf("record how to join the container: %w", err)
	}
	return nil
}

func readExecRecord(c *state.Container) (*execRecord, error) {
	var r execRecord
	err := statefile.Read(filepath.Join(c.RunDir(), execFile), &r)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %s is missing: it was started by another version", c.Name, execFile)
	}
	if err == nil && r.Process == nil {
		err = fmt.Errorf("%s: %s is damaged: it has no process", c.Name, execFile)
	}
	return &r, err
}

func (r *execRecord) filter() *seccomp.Filter {
	if len(r.Seccomp) == 0 {
		return nil
	}
	return &seccomp.Filter{Program: r.Seccomp, Flags: r.SeccompFlags}
}

// cgroup opens the container's cgroup; nil where it has none of its own. One that is
// gone is oci.ErrEnded: so is the container.
func (r *execRecord) cgroup() (*os.File, error) {
	if r.Cgroup == "" {
		return nil, nil
	}
	f, err := os.Open(r.Cgroup)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, oci.ErrEnded
	}
	return f, err
}
