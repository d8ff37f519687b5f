package container

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/nook-containers/nook/libpod/ocispec"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/store"
)

// InspectFiles is where a container is on disk, and what it is made with.
type InspectFiles struct {
	ImageDigest     string
	Platform        string
	ResolvConfPath  string // these are empty unless it runs
	HostnamePath    string
	HostsPath       string
	StaticDir       string
	LogPath         string
	OCIRuntime      string
	MountLabel      string // there are no labels of SELinux
	ProcessLabel    string
	AppArmorProfile string   // that was asked for; else it has that of nook, if any
	EffectiveCaps   []string // at its latest start, or where it never ran, as far as its image is not needed to tell
	BoundingCaps    []string
	GraphDriver     InspectDriver
	Dependencies    []string // ids of the containers it requires
	IsService       bool
	SizeRw          *int64 `json:",omitempty"` // bytes that it wrote; with --size
	SizeRootFs      *int64 `json:",omitempty"` // bytes of all its files; with --size
}

// InspectDriver says what keeps its files.
type InspectDriver struct {
	Name string
	Data map[string]string `json:",omitempty"` // its directories, of the overlay driver; those that there are now
}

// InspectSession is the part of Config about the surroundings of the command.
type InspectSession struct {
	AttachStdin   bool
	AttachStdout  bool
	AttachStderr  bool
	OnBuild       []string
	CreateCommand []string `json:",omitempty"`
	Umask         string
	Timeout       int
	StopTimeout   int
	Passwd        bool
	Timezone      string `json:",omitempty"`
	SystemdMode   bool   `json:",omitempty"`
}

// InspectLimits is the part of HostConfig that is the kernel's: namespaces and
// resources. Zero is no limit.
type InspectLimits struct {
	CgroupMode           string
	Cgroup               string
	Cgroups              string
	CgroupParent         string
	CgroupConf           map[string]string // files of the control group, and what was written to them
	IpcMode              string
	PidMode              string
	UTSMode              string
	OomScoreAdj          int
	OomKillDisable       bool
	CpuShares            uint64 //nolint:staticcheck // the field is called so elsewhere
	CpuPeriod            uint64 //nolint:staticcheck // the field is called so elsewhere
	CpuQuota             int64  //nolint:staticcheck // the field is called so elsewhere
	CpuRealtimePeriod    uint64 //nolint:staticcheck // the field is called so elsewhere
	CpuRealtimeRuntime   int64  //nolint:staticcheck // the field is called so elsewhere
	CpusetCpus           string
	CpusetMems           string
	NanoCpus             int64
	Memory               int64
	MemoryReservation    int64
	MemorySwap           int64
	MemorySwappiness     int64
	KernelMemory         int64
	PidsLimit            int64
	BlkioWeight          uint16
	BlkioWeightDevice    []InspectWeight
	BlkioDeviceReadBps   []InspectRate
	BlkioDeviceWriteBps  []InspectRate
	BlkioDeviceReadIOps  []InspectRate
	BlkioDeviceWriteIOps []InspectRate
	DiskQuota            uint64
	CpuCount             uint64 //nolint:staticcheck // the field is called so elsewhere
	CpuPercent           uint64 //nolint:staticcheck // the field is called so elsewhere
	IOMaximumIOps        uint64
	IOMaximumBandwidth   uint64
	Isolation            string
	ConsoleSize          [2]uint
}

// InspectNames is the part of HostConfig about the network and files.
type InspectNames struct {
	ContainerIDFile string
	PortBindings    map[string][]InspectPort
	PublishAllPorts bool
	VolumeDriver    string
	Egress          []string // where it may go outside; empty: anywhere
	Dns             []string //nolint:staticcheck // the field's name elsewhere
	DnsOptions      []string //nolint:staticcheck // as above
	DnsSearch       []string //nolint:staticcheck // as above
	ExtraHosts      []string
	Links           []string
}

// InspectUlimit is one limit, as podman names it.
type InspectUlimit struct {
	Name string
	Soft int64
	Hard int64
}

func describeFiles(c *state.Container, st state.Status) (InspectFiles, error) {
	out := InspectFiles{
		ImageDigest: c.ImageDigest, Platform: "linux", StaticDir: c.Dir(), OCIRuntime: first(st.Run.Runtime, "nook"),
		GraphDriver: InspectDriver{c.Driver, layerDirs(c)}, Dependencies: orEmpty(c.Spec.Requires), AppArmorProfile: c.Spec.Security.AppArmor,
	}
	set, added, err := ocispec.Capabilities(ocispec.CapAdd(c.Spec), c.Spec.CapDrop)
	if err != nil {
		return out, err
	}
	out.BoundingCaps, out.EffectiveCaps = orEmpty(set), orEmpty(set)
	if who, _, _ := strings.Cut(first(userOf(c.Spec, c.Image), "0"), ":"); who != "0" && who != "root" {
		out.EffectiveCaps = orEmpty(added)
	}
	if st.Run.PID != 0 { // then it is on record
		out.EffectiveCaps = orEmpty(st.Run.EffectiveCaps)
	}
	if !st.Alive() {
		return out, nil
	}
	for _, f := range []struct {
		to   *string
		name string
	}{{&out.HostnamePath, "hostname"}, {&out.HostsPath, "hosts"}, {&out.ResolvConfPath, "resolv.conf"}} {
		path := filepath.Join(c.RunDir(), f.name)
		if _, err := os.Lstat(path); err == nil {
			*f.to = path
		}
	}
	if c.Spec.Network == ocispec.NetworkHost && out.ResolvConfPath == "" && !c.Spec.DNS.None {
		out.ResolvConfPath = "/etc/resolv.conf"
	}
	return out, nil
}

// layerDirs are where c's files are, which is known without opening the store. Only
// "nook mount" and a full copy have them all at one place that others see.
func layerDirs(c *state.Container) map[string]string {
	var dirs store.Dirs
	switch {
	case c.KeepsLayer():
		dirs = store.ReadOwn(layerDir(c), c.Below)
	case c.Layer != "":
		dirs = store.ReadDirs(c.Layer)
	default:
		return nil
	}
	if there, err := mountedAt(); err == nil && there[mountPoint(c)] {
		dirs.Merged = mountPoint(c)
	}
	return dirs.Map()
}

func describeSession(c *state.Container) InspectSession {
	s := c.Spec.Session
	shown := func(stream string) bool { return slices.Contains(s.Attach, stream) }
	out := InspectSession{
		AttachStdin: shown("stdin"), AttachStdout: shown("stdout"), AttachStderr: shown("stderr"),
		CreateCommand: c.Spec.CreateCommand, Umask: "0022", Timeout: c.Spec.Timeout,
		StopTimeout: int(DefaultStopTimeout.Seconds()), Passwd: !s.NoPasswd, Timezone: s.TimeZone,
		SystemdMode: spec.Systemd(c.Spec, c.Image),
	}
	if s.Umask != nil {
		out.Umask = fmt.Sprintf("%04o", *s.Umask)
	}
	if c.Spec.StopTimeout != nil {
		out.StopTimeout = *c.Spec.StopTimeout
	}
	return out
}

func describeLimits(c spec.Container) InspectLimits {
	own := func(t specs.LinuxNamespaceType) string {
		if slices.ContainsFunc(ocispec.Namespaces(c), func(n specs.LinuxNamespace) bool { return n.Type == t }) {
			return "private"
		}
		return "host"
	}
	out := InspectLimits{
		CgroupMode: own(specs.CgroupNamespace),
		IpcMode:    own(specs.IPCNamespace), PidMode: own(specs.PIDNamespace), UTSMode: own(specs.UTSNamespace),
	}
	if c.OOMScoreAdj != nil {
		out.OomScoreAdj = *c.OOMScoreAdj
	}
	describeResources(c, &out)
	return out
}

func describeNames(c spec.Container) InspectNames {
	return InspectNames{
		ContainerIDFile: c.CIDFile, PortBindings: portBindings(c.Ports), PublishAllPorts: c.PublishAll,
		Egress: orEmpty(c.Egress), Dns: words(c.DNS.Servers), DnsOptions: orEmpty(c.DNS.Options), DnsSearch: orEmpty(c.DNS.Search), ExtraHosts: orEmpty(c.Hosts.Add),
	}
}

func describeUlimits(limits []spec.Ulimit) []InspectUlimit {
	out := []InspectUlimit{}
	for _, u := range limits {
		out = append(out, InspectUlimit{"RLIMIT_" + strings.ToUpper(u.Name), u.Soft, u.Hard})
	}
	return out
}

func orEmpty[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// Size measures the files of c, running or not: what it has that its image has
// not, and all. Bytes are those of the files' content.
func (e *Engine) Size(ctx context.Context, c *state.Container) (written, all int64, err error) {
	f, err := e.FilesOf(c)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	changes, err := Changes(ctx, f)
	if err != nil {
		return 0, 0, err
	}
	for _, ch := range changes {
		if ch.Kind.String() != "D" && !ch.Entry.IsDir() {
			written += ch.Entry.Stat.Size
		}
	}
	if c.ImageID == "" {
		return written, written, nil
	}
	img, err := e.Layers.Lookup(c.ImageID)
	if err != nil {
		return 0, 0, fmt.Errorf("size of %s: %w", c.Name, err)
	}
	return written, img.Size + written, nil
}

// NamespacesOf names the namespaces of a running container, as numbers of inodes
// (namespaces(7)): cgroup, ipc, mnt, net, pid, user and uts.
func NamespacesOf(pid int) map[string]string {
	out := map[string]string{}
	for _, name := range []string{"cgroup", "ipc", "mnt", "net", "pid", "user", "uts"} {
		link, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "ns", name))
		if err != nil {
			continue // it has ended
		}
		out[name] = strings.Trim(strings.TrimPrefix(link, name), ":[]")
	}
	return out
}
