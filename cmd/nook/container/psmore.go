package container

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/libpod/network"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/pkg/units"
)

// psMore are the fields of ps --format json that most scripts do without.
type psMore struct {
	CIDFile    string
	Namespaces map[string]string
	Size       *psSize `json:",omitempty"` // with --size
	Ports      []psPort
	// ExposedPorts are protocols by port.
	ExposedPorts map[uint16][]string
}

// psPort is one published port, or some in a row.
type psPort struct {
	HostIP        string `json:"host_ip"`
	ContainerPort uint16 `json:"container_port"`
	HostPort      uint16 `json:"host_port"`
	Range         uint16 `json:"range"`
	Protocol      string `json:"protocol"`
}

// psSize counts bytes.
type psSize struct {
	RootFS int64 `json:"rootFsSize"`
	RW     int64 `json:"rwSize"`
}

func (r psRow) more() psMore {
	m := psMore{CIDFile: r.CIDFile(), Namespaces: r.namespaces(), Ports: []psPort{}, ExposedPorts: r.ExposedPorts()}
	for _, p := range container.PortsNow(r.c.Container, r.c.Status) {
		m.Ports = append(m.Ports, psPort{HostIP: string(p.HostIP), ContainerPort: p.ContainerPort, HostPort: p.HostPort, Range: p.Range, Protocol: p.Proto})
	}
	if r.allFiles > 0 {
		m.Size = &psSize{RootFS: r.allFiles, RW: r.written}
	}
	return m
}

// ExposedPorts are the protocols of the ports that it says it listens on.
func (r psRow) ExposedPorts() map[uint16][]string {
	out := map[uint16][]string{}
	for _, p := range container.Exposed(r.c.Spec, r.c.Container.Image) {
		out[p.ContainerPort] = append(out[p.ContainerPort], p.Proto)
	}
	return out
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
	return fmt.Sprintf("%s (virtual %s)", units.Compact(r.written), units.Compact(r.allFiles))
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

// networkNames are the networks that a container is in, or what it has in place of
// one.
func networkNames(l container.Listed) []string {
	mode, _ := l.Spec.NetworkMode()
	if mode != spec.NetworkBridge {
		return []string{mode}
	}
	names := []string{}
	for _, u := range l.Spec.Networks {
		names = append(names, u.Name)
	}
	return names
}

// inNetwork takes a network's name, or its id or the beginning of it.
func inNetwork(l container.Listed, v string) bool {
	return slices.ContainsFunc(networkNames(l), func(name string) bool {
		return name == v || len(v) >= shortestID && strings.HasPrefix(network.ID(name), v)
	})
}

// shortestID is how much of a network's id a filter takes for one.
const shortestID = 4

// portsText is the column PORTS, as docker-ps(1) has it; ranges in one.
func portsText(l container.Listed) string {
	var out []string
	for _, p := range container.PortsNow(l.Container, l.Status) {
		text := portSpan(p.ContainerPort, p.Range) + "/" + p.Proto
		ip := string(cmp.Or(p.HostIP, "0.0.0.0"))
		if p.HostIP.Is6() {
			ip = "[" + ip + "]"
		}
		if p.HostPort != 0 {
			text = ip + ":" + portSpan(p.HostPort, p.Range) + "->" + text
		}
		out = append(out, text)
	}
	for _, p := range container.Exposed(l.Spec, l.Container.Image) {
		published := slices.ContainsFunc(container.PublishedPorts(l.Container, l.Status), func(x container.Published) bool {
			return x.Container == p.ContainerPort && x.Proto == p.Proto
		})
		if !published {
			out = append(out, portSpan(p.ContainerPort, 1)+"/"+p.Proto)
		}
	}
	return strings.Join(out, ", ")
}

func portSpan(first, n uint16) string {
	if n <= 1 {
		return strconv.Itoa(int(first))
	}
	return fmt.Sprintf("%d-%d", first, first+n-1)
}

// runs reports whether the container's command, without its arguments, is v.
func runs(l container.Listed, v string) bool {
	return len(l.Command) > 0 && l.Command[0] == v
}
