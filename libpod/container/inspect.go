package container

import (
	"maps"
	"slices"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/nook-containers/nook/libpod/health"
	"github.com/nook-containers/nook/libpod/ocispec"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/libpod/volume"
	"github.com/nook-containers/nook/pkg/cgroups"
)

// Inspect is a container as "inspect" shows it, in Docker's field names
// (docker-inspect(1), GET /containers/{id}/json) with podman's additions.
type Inspect struct {
	ID              string `json:"Id"`
	Created         time.Time
	Path            string
	Args            []string
	State           InspectState
	Image           string // id
	ImageName       string
	Rootfs          string
	Name            string
	RestartCount    int
	Driver          string
	Mounts          []InspectMount
	IsInfra         bool
	Pod             string `json:",omitempty"` // id
	Config          InspectConfig
	HostConfig      InspectHostConfig
	NetworkSettings InspectNetwork
	Namespace       string
	ExecIDs         []string // sessions of "exec" that go on
	InspectFiles
}

// InspectState says what is true now. Times are zero where nothing happened.
type InspectState struct {
	OciVersion string
	Status     string
	Running    bool
	Paused     bool
	Restarting bool
	OOMKilled  bool
	Dead       bool
	Pid        int
	ConmonPid  int // the monitor's, under the name that scripts know
	ExitCode   int
	Error      string
	StartedAt  time.Time
	FinishedAt time.Time
	CgroupPath string        // directory of its control group; empty without one
	Health     *health.Shown `json:",omitempty"` // nil without a health check
}

// Healthcheck is Health, as Podman named it once.
func (s InspectState) Healthcheck() *health.Shown { return s.Health }

// InspectMount is one mount that was asked for, by the user or by the image.
type InspectMount struct {
	Type        string
	Name        string `json:",omitempty"` // of a volume
	Source      string
	Destination string
	Driver      string
	Mode        string
	Options     []string
	RW          bool
	Propagation string
}

// InspectConfig is what runs.
type InspectConfig struct {
	Hostname     string
	Domainname   string
	User         string
	Tty          bool
	OpenStdin    bool
	StdinOnce    bool
	Env          []string
	Cmd          []string
	Image        string
	WorkingDir   string
	Entrypoint   []string
	Labels       map[string]string
	Annotations  map[string]string
	StopSignal   string
	Volumes      map[string]struct{} // paths that the image wants volumes at
	ExposedPorts map[string]struct{} `json:",omitempty"`
	Secrets      []InspectSecret     `json:",omitempty"`

	Healthcheck                *spec.ImageHealth     `json:",omitempty"`
	StartupHealthCheck         *InspectStartupHealth `json:",omitempty"`
	HealthcheckOnFailureAction string                `json:",omitempty"`
	HealthLogDestination       string                `json:",omitempty"`
	HealthcheckMaxLogCount     int                   `json:",omitempty"`
	HealthcheckMaxLogSize      int                   `json:",omitempty"`
	InspectSession
}

// InspectStartupHealth is what must succeed before the health check begins.
type InspectStartupHealth struct {
	spec.ImageHealth

	Successes int `json:",omitempty"`
}

// InspectSecret names a secret, and says where the container has it.
type InspectSecret struct {
	Name   string
	Type   string
	Target string
	UID    uint32
	GID    uint32
	Mode   uint32
}

// InspectHostConfig is how it is kept apart from the host.
type InspectHostConfig struct {
	Binds          []string
	VolumesFrom    []string
	NetworkMode    string
	IpcMode        string
	PidMode        string
	UTSMode        string
	CgroupMode     string
	AutoRemove     bool
	RestartPolicy  InspectRestart
	LogConfig      InspectLog
	CapAdd         []string
	CapDrop        []string
	GroupAdd       []string
	UsernsMode     string
	Privileged     bool
	ReadonlyRootfs bool
	SecurityOpt    []string
	Tmpfs          map[string]string
	ShmSize        int64
	Sysctls        map[string]string
	Ulimits        []InspectUlimit
	Devices        []InspectDevice
	Init           bool
	Runtime        string
	InspectLimits
	InspectNames
}

// InspectRestart is when it is started again.
type InspectRestart struct {
	Name              string
	MaximumRetryCount int
}

// InspectLog is where its output is kept.
type InspectLog struct {
	Type   string
	Config map[string]string // the limits, in Docker's option names
	Path   string
	Tag    string
	Size   string // of one file; 0B: no limit
}

// InspectDevice is one host device.
type InspectDevice struct {
	PathOnHost        string
	PathInContainer   string
	CgroupPermissions string
}

// Id is ID, as templates written for Docker name it.
//
//nolint:staticcheck // the field's name elsewhere
func (i *Inspect) Id() string { return i.ID }

// Describe shows c. It needs no layers and takes no lock.
func Describe(c *state.Container) (*Inspect, error) {
	st, err := c.Status()
	if err != nil {
		return nil, err
	}
	execs := []string{}
	if st.Alive() {
		ids, err := c.Sessions()
		if err != nil {
			return nil, err
		}
		execs = append(execs, ids...)
	}
	files, err := describeFiles(c, st)
	if err != nil {
		return nil, err
	}
	in := ocispec.Input{ID: c.ID, Spec: c.Spec, Image: c.Image}
	out := &Inspect{
		ID: c.ID, Created: c.Created, Path: c.Command[0], Args: c.Command[1:], State: describeState(st),
		Image: c.ImageID, ImageName: c.ImageName, Rootfs: c.Spec.RootFS, Name: c.Name, Driver: c.Driver, IsInfra: c.Spec.Infra, Pod: c.Spec.Pod, RestartCount: st.Run.Restarts,
		Config: InspectConfig{
			Hostname: ocispec.Hostname(in), User: first(c.Spec.User, c.Image.User), Tty: c.Spec.TTY,
			OpenStdin: c.Spec.OpenStdin, StdinOnce: c.Spec.OpenStdin, Cmd: c.Image.Cmd, Image: c.ImageName,
			WorkingDir: first(c.Spec.WorkDir, c.Image.WorkingDir, "/"), Entrypoint: c.Image.Entrypoint,
			Labels: merge(c.Image.Labels, c.Spec.Labels), Annotations: merge(c.Spec.Annotations, nil), Domainname: c.Spec.Domainname, InspectSession: describeSession(c),
			StopSignal: spec.StopSignal(c.Spec, c.Image), Volumes: set(c.Image.Volumes), ExposedPorts: exposedPorts(c.Spec, c.Image),
		},
		HostConfig: describeHost(c.Spec),
		ExecIDs:    execs, InspectFiles: files,
	}
	if out.NetworkSettings, err = describeNetwork(c, st); err != nil {
		return nil, err
	}
	if out.HostConfig.LogConfig, err = describeLog(c); err != nil {
		return nil, err
	}
	out.LogPath = out.HostConfig.LogConfig.Path
	if err := describeHealth(c, out); err != nil {
		return nil, err
	}
	for _, sec := range c.Spec.Secrets {
		out.Config.Secrets = append(out.Config.Secrets, InspectSecret(sec))
	}
	out.Config.Env, err = ocispec.Env(in)
	if c.Spec.Entrypoint != nil {
		out.Config.Entrypoint, out.Config.Cmd = *c.Spec.Entrypoint, nil
	}
	if len(c.Spec.Args) > 0 {
		out.Config.Cmd = c.Spec.Args
	}
	out.Mounts = []InspectMount{}
	for _, m := range c.Spec.Mounts {
		out.Mounts = append(out.Mounts, describeMount(m, volume.Of(c.Store())))
	}
	return out, err
}

func describeState(st state.Status) InspectState {
	s := InspectState{
		OciVersion: specs.Version, Status: st.Word, Running: st.Word == state.Running, Restarting: st.Word == state.Restarting, ExitCode: st.Run.ExitCode, Error: st.Run.Error,
		StartedAt: st.Run.Started, FinishedAt: st.Run.Finished, Paused: st.Word == state.Paused, OOMKilled: st.Run.OOMKilled,
	}
	if st.Word == state.Initialized {
		s.StartedAt = time.Time{}
	}
	if st.Alive() || st.Word == state.Initialized {
		s.Pid, s.ConmonPid, s.CgroupPath = st.Run.PID, st.Monitor, st.Run.Cgroup
		if kills, err := cgroups.OOMKills(st.Run.Cgroup); err == nil && kills > 0 {
			s.OOMKilled = true
		}
	}
	return s
}

func describeMount(m spec.Mount, volumes volume.Store) InspectMount {
	out := InspectMount{Type: m.Type, Source: m.Source, Destination: m.Target, Options: m.Options, RW: !m.ReadOnly}
	if out.Options == nil {
		out.Options = []string{}
	}
	out.Mode = strings.Join(mountWords(m), ",")
	switch m.Type {
	case spec.MountTmpfs:
		return out
	case spec.MountVolume:
		out.Name, out.Driver = m.Volume, volume.Local
		if v, err := volumes.Get(m.Volume); err == nil {
			out.Source = v.Mountpoint()
		}
	}
	out.Propagation = "rprivate"
	for _, o := range m.Options {
		if ocispec.IsPropagation(o) {
			out.Propagation = o
		}
	}
	return out
}

// mountWords are m's options as in -v, but for "ro".
func mountWords(m spec.Mount) []string {
	words := slices.Clone(m.Options)
	for _, w := range []struct {
		on   bool
		word string
	}{{m.Chown, "U"}, {m.Overlay, "O"}, {m.NoCopy, "nocopy"}, {m.NoCreate, "nocreate"}} {
		if w.on {
			words = append(words, w.word)
		}
	}
	return words
}

func describeHost(c spec.Container) InspectHostConfig {
	h := InspectHostConfig{
		VolumesFrom: c.VolumesFrom, NetworkMode: c.Network, AutoRemove: c.Remove, RestartPolicy: restartPolicy(c.Restart), CapAdd: orEmpty(c.CapAdd), CapDrop: orEmpty(c.CapDrop), GroupAdd: orEmpty(groups(c)), Privileged: c.Privileged,
		IpcMode: first(c.IPC, spec.IPCShareable), PidMode: first(c.PID, "private"), UTSMode: first(c.UTS, "private"), CgroupMode: first(c.CgroupNS, "private"),
		UsernsMode: usernsMode(c.UserNS), ReadonlyRootfs: c.ReadOnly, SecurityOpt: orEmpty(securityOpts(c.Security)), Tmpfs: map[string]string{},
		ShmSize: c.ShmSize, Sysctls: c.Sysctls, Ulimits: describeUlimits(c.Ulimits), Init: c.Init, Runtime: "oci",
		Binds: []string{}, Devices: []InspectDevice{}, InspectLimits: describeLimits(c), InspectNames: describeNames(c),
	}
	if h.ShmSize == 0 {
		h.ShmSize = ocispec.DefaultShmSize
	}
	for _, m := range c.Mounts {
		opts := mountWords(m)
		if m.ReadOnly {
			opts = append(opts, "ro")
		}
		bind := m.Source + ":" + m.Target
		switch m.Type {
		case spec.MountTmpfs:
			h.Tmpfs[m.Target] = strings.Join(opts, ",")
			continue
		case spec.MountImage:
			continue
		case spec.MountVolume:
			bind = m.Volume + ":" + m.Target
		}
		if len(opts) > 0 {
			bind += ":" + strings.Join(opts, ",")
		}
		h.Binds = append(h.Binds, bind)
	}
	for _, d := range c.Devices {
		h.Devices = append(h.Devices, InspectDevice{d.Source, first(d.Target, d.Source), first(d.Permissions, "rwm")})
	}
	return h
}

func usernsMode(u spec.UserNS) string {
	if u.From != "" {
		return spec.NSContainer + u.From
	}
	if u.Mode == spec.UserNSPath {
		return u.Mode + ":" + u.Path
	}
	return u.Mode
}

func groups(c spec.Container) []string {
	if c.Session.KeepGroups {
		return []string{"keep-groups"}
	}
	return c.Groups
}

func securityOpts(s spec.Security) []string {
	var out []string
	if s.NoNewPrivileges {
		out = append(out, "no-new-privileges")
	}
	for _, w := range []struct {
		on   bool
		word string
	}{
		{s.WritableCgroups, "writable-cgroups"},
		{s.NoHostDevices, "privileged-without-host-devices"},
		{s.AppArmor != "", "apparmor=" + s.AppArmor},
		{len(s.ProcOptions) > 0, "proc-opts=" + strings.Join(s.ProcOptions, ",")},
	} {
		if w.on {
			out = append(out, w.word)
		}
	}
	switch s.Seccomp {
	case "":
	case spec.SeccompUnconfined, spec.SeccompNested:
		out = append(out, "seccomp="+s.Seccomp)
	default:
		out = append(out, "seccomp=custom")
	}
	for _, p := range s.Mask {
		out = append(out, "mask="+p)
	}
	for _, p := range s.Unmask {
		out = append(out, "unmask="+p)
	}
	return out
}

func restartPolicy(r spec.Restart) InspectRestart {
	return InspectRestart{Name: first(r.Policy, "no"), MaximumRetryCount: r.Max}
}

func first(s ...string) string {
	for _, v := range s {
		if v != "" {
			return v
		}
	}
	return ""
}

func set(keys []string) map[string]struct{} {
	if len(keys) == 0 {
		return nil
	}
	out := map[string]struct{}{}
	for _, k := range keys {
		out[k] = struct{}{}
	}
	return out
}

func merge(a, b map[string]string) map[string]string {
	out := map[string]string{}
	for _, m := range []map[string]string{a, b} {
		maps.Copy(out, m)
	}
	return out
}
