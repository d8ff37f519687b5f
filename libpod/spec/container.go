// Package spec holds what the user asked for: one struct per object, filled by
// every front end and stored as it is. It computes nothing and imports nothing
// of this module.
package spec

// Version is the format of the structs in this package on disk. A reader takes
// its own version and the one before, and keeps fields it does not know.
const Version = 1

// Container is a request for one container. Front ends fill it, libpod resolves
// names in it, ocispec turns it into kernel terms. Zero values mean "not asked".
type Container struct {
	Version int    `json:"version"`
	Name    string `json:"name,omitempty"` // default: made up

	// What runs.
	Image      string    `json:"image,omitempty"`  // as the user wrote it; empty with RootFS
	RootFS     string    `json:"rootfs,omitempty"` // absolute directory on the host, instead of an image
	Platform   string    `json:"platform,omitempty"`
	Entrypoint *[]string `json:"entrypoint,omitempty"` // nil: the image's; empty: none
	Args       []string  `json:"args,omitempty"`       // replaces the image's CMD
	Env        []string  `json:"env,omitempty"`        // KEY=VALUE, later entries win
	WorkDir    string    `json:"workDir,omitempty"`
	User       string    `json:"user,omitempty"`   // user[:group], names or numbers; default: the image's
	Groups     []string  `json:"groups,omitempty"` // supplementary, names or numbers
	Hostname   string    `json:"hostname,omitempty"`
	Domainname string    `json:"domainname,omitempty"` // of NIS; see setdomainname(2)
	Init       bool      `json:"init,omitempty"`       // a reaper as process 1
	StopSignal string    `json:"stopSignal,omitempty"`

	Session Session `json:"session,omitzero"`

	// Terminal and streams.
	TTY         bool   `json:"tty,omitempty"`
	OpenStdin   bool   `json:"openStdin,omitempty"`
	DetachKeys  string `json:"detachKeys,omitempty"`  // default ctrl-p,ctrl-q
	PreserveFDs int    `json:"preserveFDs,omitempty"` // descriptors 3 to 2+n reach the container

	Log Log `json:"log,omitzero"`

	// Life cycle.
	Remove      bool     `json:"remove,omitempty"` // delete the container when it ends
	Restart     Restart  `json:"restart,omitzero"`
	Health      Health   `json:"health,omitzero"`
	StopTimeout *int     `json:"stopTimeout,omitempty"` // seconds from the stop signal to SIGKILL, -1 for ever; default 10
	Timeout     int      `json:"timeout,omitempty"`     // seconds after its start that it is killed; 0: never
	Requires    []string `json:"requires,omitempty"`    // ids of containers that are started before

	// Files.
	Mounts      []Mount  `json:"mounts,omitempty"`
	VolumesFrom []string `json:"volumesFrom,omitempty"` // CONTAINER[:OPTION,...]
	ImageVolume string   `json:"imageVolume,omitempty"` // what the image's volumes become; default ImageVolumeAnonymous
	ReadOnly    bool     `json:"readOnly,omitempty"`    // root file system
	// ReadOnlyAll leaves out the writable /run, /tmp and /var/tmp that ReadOnly
	// otherwise gets.
	ReadOnlyAll bool     `json:"readOnlyAll,omitempty"`
	Devices     []Device `json:"devices,omitempty"`
	Secrets     []Secret `json:"secrets,omitempty"`
	ShmSize     int64    `json:"shmSize,omitempty"` // bytes; 0: 64 MiB

	// Network is one of the modes NetworkNone (default) and so on; see NetworkMode.
	Network        string       `json:"network,omitempty"`
	NetworkOptions []string     `json:"networkOptions,omitempty"` // of NetworkPasta and NetworkSlirp
	Networks       []NetworkUse `json:"networks,omitempty"`       // with NetworkBridge, in the order of the interfaces
	Ports          []Port       `json:"ports,omitempty"`          // published
	PublishAll     bool         `json:"publishAll,omitempty"`     // also what Expose and the image name, at ports of the kernel's choice
	Expose         []Port       `json:"expose,omitempty"`         // without host's side
	DNS            DNS          `json:"dns,omitzero"`
	HostLoopback   Loopback     `json:"hostLoopback,omitzero"`
	// Egress is where the container may go outside of its networks (package egress);
	// none: anywhere.
	Egress []string `json:"egress,omitempty"`

	// Isolation. IPC, PID, UTS and CgroupNS are empty, NSHost or NSContainer and an
	// id, IPC also one of its own words.
	IPC      string   `json:"ipc,omitempty"`
	PID      string   `json:"pid,omitempty"`
	UTS      string   `json:"uts,omitempty"`
	CgroupNS string   `json:"cgroupNS,omitempty"`
	Hosts    Hosts    `json:"hosts,omitzero"`
	UserNS   UserNS   `json:"userNS,omitzero"`
	CapAdd   []string `json:"capAdd,omitempty"`
	CapDrop  []string `json:"capDrop,omitempty"`
	Security Security `json:"security,omitzero"`
	// Privileged takes away what keeps root in the container from what the user
	// may do on the host.
	Privileged bool              `json:"privileged,omitempty"`
	Sysctls    map[string]string `json:"sysctls,omitempty"`
	Ulimits    []Ulimit          `json:"ulimits,omitempty"`
	// OOMScoreAdj is how much sooner the kernel ends it when memory is short, -1000
	// to 1000 (proc_pid_oom_score_adj(5)).
	OOMScoreAdj *int `json:"oomScoreAdj,omitempty"`

	// Resources.
	Cgroups      string    `json:"cgroups,omitempty"`      // CgroupsDefault and so on
	CgroupParent string    `json:"cgroupParent,omitempty"` // NAME.slice for systemd, else a directory
	Resources    Resources `json:"resources,omitzero"`

	// Pod is the id of the pod that the container is in. Infra makes it the one
	// that holds the pod's namespaces: it has no image and runs nothing.
	Pod   string `json:"pod,omitempty"`
	Infra bool   `json:"infra,omitempty"`

	// Description.
	CreateCommand []string          `json:"createCommand,omitempty"` // the command line that made it
	CIDFile       string            `json:"cidFile,omitempty"`       // absolute
	Labels        map[string]string `json:"labels,omitempty"`
	Annotations   map[string]string `json:"annotations,omitempty"`
}

// Session is the surroundings of the command: environment beside Container.Env,
// accounts, clock.
type Session struct {
	// HostEnv is what comes from the host, below the image's environment; ProxyEnv
	// above it.
	HostEnv    []string `json:"hostEnv,omitempty"`
	ProxyEnv   []string `json:"proxyEnv,omitempty"`
	MergeEnv   []string `json:"mergeEnv,omitempty"`   // NAME=VALUE, in which $NAME and ${NAME} are the image's
	DropEnv    []string `json:"dropEnv,omitempty"`    // names not to take from the image and from nook
	DropAllEnv bool     `json:"dropAllEnv,omitempty"` // take none

	Umask    *uint32 `json:"umask,omitempty"`    // default 0022
	TimeZone string  `json:"timeZone,omitempty"` // a name of tz(5), or TimeZoneLocal
	// Systemd says whether the command is systemd, or another init that wants what it
	// wants; default: as its name tells.
	Systemd string `json:"systemd,omitempty"` // SystemdAlways or SystemdNever

	NoPasswd    bool     `json:"noPasswd,omitempty"`    // add no account for an unknown user
	PasswdEntry string   `json:"passwdEntry,omitempty"` // template of that account
	GroupEntry  string   `json:"groupEntry,omitempty"`  // template of its group
	HostUsers   []string `json:"hostUsers,omitempty"`   // lines for /etc/passwd
	KeepGroups  bool     `json:"keepGroups,omitempty"`  // the user's own supplementary groups stay
	Attach      []string `json:"attach,omitempty"`      // streams that are shown; default all
}

// Special values of Session's fields.
const (
	TimeZoneLocal = "local"
	SystemdAlways = "always"
	SystemdNever  = "false"
)

// Hosts says what the container finds in /etc/hosts and /etc/hostname.
type Hosts struct {
	Add       []string `json:"add,omitempty"`       // NAME [NAME...]:ADDRESS
	NoHosts   bool     `json:"noHosts,omitempty"`   // the image's own file
	NoName    bool     `json:"noName,omitempty"`    // the image's own /etc/hostname
	HostsFile string   `json:"hostsFile,omitempty"` // absolute path to begin with; HostsImage or HostsNone
}

// Special values of Hosts.HostsFile.
const (
	HostsImage = "image"
	HostsNone  = "none"
)

// Log says where a container's output is kept. Limits that are not set are those
// of pkg/logs.
type Log struct {
	Driver   string `json:"driver,omitempty"`   // default k8s-file
	Path     string `json:"path,omitempty"`     // absolute; default in the container's directory
	MaxSize  int64  `json:"maxSize,omitempty"`  // bytes of one file; -1: no limit
	MaxFiles int    `json:"maxFiles,omitempty"` // with the one being written
	Tag      string `json:"tag,omitempty"`      // template
}

// Restart policies, as docker-run(1) has them.
const (
	RestartNo            = ""
	RestartOnFailure     = "on-failure"
	RestartAlways        = "always"
	RestartUnlessStopped = "unless-stopped"
)

// Restart says whether a container that ended is started again.
type Restart struct {
	Policy string `json:"policy,omitempty"`
	Max    int    `json:"max,omitempty"` // on-failure: at most so often; 0: always
}

// ImageConfig is the part of an image's config that its containers inherit
// (image-spec, config.md). A container keeps the one it was created with.
type ImageConfig struct {
	Env        []string          `json:"env,omitempty"`
	Entrypoint []string          `json:"entrypoint,omitempty"`
	Cmd        []string          `json:"cmd,omitempty"`
	WorkingDir string            `json:"workingDir,omitempty"`
	User       string            `json:"user,omitempty"`
	StopSignal string            `json:"stopSignal,omitempty"`
	Labels     map[string]string `json:"labels,omitempty"`
	Volumes    []string          `json:"volumes,omitempty"` // paths that want a volume
	Ports      []string          `json:"ports,omitempty"`   // PORT[-PORT][/PROTOCOL] that it listens on
	Health     *ImageHealth      `json:"health,omitempty"`
}

// Mount kinds.
const (
	MountBind   = "bind"
	MountVolume = "volume"
	MountImage  = "image"
	MountTmpfs  = "tmpfs"
)

// What the volumes that an image asks for become.
const (
	ImageVolumeAnonymous = ""
	ImageVolumeTmpfs     = "tmpfs"
	ImageVolumeIgnore    = "ignore"
)

// Mount is one file system in the container beside its root.
type Mount struct {
	Type string `json:"type"` // MountBind, MountVolume, MountImage or MountTmpfs
	// Source is the absolute host path of a bind, and the name of an image as the
	// user wrote it.
	Source   string   `json:"source,omitempty"`
	Target   string   `json:"target"` // absolute path in the container
	ReadOnly bool     `json:"readOnly,omitempty"`
	Options  []string `json:"options,omitempty"` // mount options as in mount(8), checked by the front end

	Volume   string `json:"volume,omitempty"`   // name of a volume; in a request empty for an anonymous one
	OwnName  bool   `json:"ownName,omitempty"`  // the volume is anonymous and was made for this container
	NoCreate bool   `json:"noCreate,omitempty"` // the volume must exist
	NoCopy   bool   `json:"noCopy,omitempty"`   // do not fill a new volume with what the image has there
	ImageID  string `json:"imageID,omitempty"`  // of a MountImage, once it is found
	Subpath  string `json:"subpath,omitempty"`  // what to show of a volume or an image, relative
	Chown    bool   `json:"chown,omitempty"`    // give all files to the container's user (":U")
	// Overlay keeps changes in the container, apart from the source (":O").
	Overlay bool `json:"overlay,omitempty"`
}

// Device is a host device node shown in the container by a bind mount, since a
// user namespace cannot make nodes.
type Device struct {
	// Source is an absolute path on the host, or the name of a device that is
	// described there: VENDOR/CLASS=NAME, or AnyGPU and a name (Container Device
	// Interface).
	Source      string `json:"source"`
	Target      string `json:"target,omitempty"`      // default: Source
	Permissions string `json:"permissions,omitempty"` // some of "rwm"; default all
}

// AnyGPU begins the name of a GPU of whichever vendor the host has.
const AnyGPU = "gpu="

// Ulimit is one resource limit (getrlimit(2)); -1 is unlimited.
type Ulimit struct {
	Name string `json:"name"` // lower case without RLIMIT_, as "nofile"
	Soft int64  `json:"soft"`
	Hard int64  `json:"hard"`
}

// User namespace modes.
const (
	UserNSHost   = ""        // container root is the user
	UserNSKeepID = "keep-id" // the user's own ids inside
	UserNSNoMap  = "nomap"   // the user's id does not exist inside
	UserNSAuto   = "auto"    // ids that no other such container has
	UserNSCustom = "custom"  // as UIDMap and GIDMap say
)

// UserNS says which ids the container sees.
type UserNS struct {
	Mode string  `json:"mode,omitempty"`
	UID  *uint32 `json:"uid,omitempty"` // keep-id: the user's id inside; default the same as outside
	GID  *uint32 `json:"gid,omitempty"`
	Size uint32  `json:"size,omitempty"` // ids inside; default all, with auto as many as the image needs
	// UIDMap and GIDMap are the whole map of UserNSCustom, where an empty one keeps
	// ids as they are, and what the one of UserNSAuto must have.
	UIDMap []IDMapping `json:"uidMap,omitempty"`
	GIDMap []IDMapping `json:"gidMap,omitempty"`
	// First is the first id of nook's shared user namespace that a container of
	// UserNSAuto has, once it is made.
	First uint32 `json:"first,omitempty"`
	// From is the id of the container whose namespace this is; the other fields
	// are that one's. Empty: a new one.
	From string `json:"from,omitempty"`
}

// IDMapping asks for Size ids, from Inside in the container and Outside in nook's
// shared user namespace upward.
type IDMapping struct {
	Inside  uint32 `json:"inside"`
	Outside uint32 `json:"outside"`
	Size    uint32 `json:"size"`
	Host    bool   `json:"host,omitempty"`   // Outside is an id of the host
	Extend  bool   `json:"extend,omitempty"` // takes its ids from earlier mappings
}

// Security is the sum of --security-opt.
type Security struct {
	NoNewPrivileges bool     `json:"noNewPrivileges,omitempty"`
	Seccomp         string   `json:"seccomp,omitempty"`     // empty: default profile; SeccompUnconfined or SeccompNested; else the profile's JSON text
	Mask            []string `json:"mask,omitempty"`        // further paths to hide
	Unmask          []string `json:"unmask,omitempty"`      // paths not to hide or protect; UnmaskAll for every one
	ProcOptions     []string `json:"procOptions,omitempty"` // mount options of /proc
	AppArmor        string   `json:"appArmor,omitempty"`    // profile of the host; empty: none
	WritableCgroups bool     `json:"writableCgroups,omitempty"`
	NoHostDevices   bool     `json:"noHostDevices,omitempty"` // none with Container.Privileged
}

// Special values of Security's fields.
const (
	SeccompUnconfined = "unconfined"
	SeccompNested     = "nested" // what containers in the container need, too
	UnmaskAll         = "ALL"
)

// Kinds of secrets.
const (
	SecretMount = "mount" // a file
	SecretEnv   = "env"   // a variable
)

// Secret is one secret that a container gets: a reference, never its content.
type Secret struct {
	Name   string `json:"name"`
	Type   string `json:"type"`   // SecretMount or SecretEnv
	Target string `json:"target"` // absolute path, or the variable's name
	// UID, GID and Mode are the file's, ids in the container's terms.
	UID  uint32 `json:"uid,omitempty"`
	GID  uint32 `json:"gid,omitempty"`
	Mode uint32 `json:"mode,omitempty"`
}
