package container

import (
	"fmt"
	"slices"

	"github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/pkg/units"
)

// psMore are the fields of ps --format json that most scripts do without.
type psMore struct {
	CIDFile    string
	Namespaces map[string]string
	Size       *psSize `json:",omitempty"` // with --size
}

// psSize counts bytes.
type psSize struct {
	RootFS int64 `json:"rootFsSize"`
	RW     int64 `json:"rwSize"`
}

func (r psRow) more() psMore {
	m := psMore{CIDFile: r.CIDFile(), Namespaces: r.namespaces()}
	if r.allFiles > 0 {
		m.Size = &psSize{RootFS: r.allFiles, RW: r.written}
	}
	return m
}

// namespaces is empty unless the container runs.
func (r psRow) namespaces() map[string]string {
	if pid := r.Pid(); pid != 0 {
		return container.NamespacesOf(pid)
	}
	return map[string]string{}
}

// CIDFile is the file that --cidfile named.
func (r psRow) CIDFile() string { return r.c.Spec.CIDFile }

// Size is what the container wrote and, as virtual, all its files.
func (r psRow) Size() string {
	return fmt.Sprintf("%s (virtual %s)", units.Size(r.written), units.Size(r.allFiles))
}

// LocalVolumes counts volumes.
func (r psRow) LocalVolumes() int {
	n := 0
	for _, m := range r.c.Spec.Mounts {
		if m.Type == spec.MountVolume {
			n++
		}
	}
	return n
}

// Namespaces are the numbers of all namespaces.
func (r psRow) Namespaces() map[string]string { return r.namespaces() }

// CGROUPNS and the next are the columns of ps --namespace, and templates' names for
// them.
func (r psRow) CGROUPNS() string { return r.namespaces()["cgroup"] }

// IPC is the number of the IPC namespace.
func (r psRow) IPC() string { return r.namespaces()["ipc"] }

// MNT is the number of the mount namespace.
func (r psRow) MNT() string { return r.namespaces()["mnt"] }

// NET is the number of the network namespace.
func (r psRow) NET() string { return r.namespaces()["net"] }

// PIDNS is the number of the pid namespace.
func (r psRow) PIDNS() string { return r.namespaces()["pid"] }

// USERNS is the number of the user namespace.
func (r psRow) USERNS() string { return r.namespaces()["user"] }

// UTS is the number of the UTS namespace.
func (r psRow) UTS() string { return r.namespaces()["uts"] }

// networkNames are the networks that a container is in.
func networkNames(l container.Listed) []string {
	if l.Spec.Network == "" {
		return []string{"none"}
	}
	return []string{l.Spec.Network}
}

func inNetwork(l container.Listed, v string) bool { return slices.Contains(networkNames(l), v) }

// runs reports whether the container's command, without its arguments, is v.
func runs(l container.Listed, v string) bool {
	return len(l.Command) > 0 && l.Command[0] == v
}
