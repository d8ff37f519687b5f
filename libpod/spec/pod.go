package spec

// Where a container has a namespace from. Empty is one of its own; the kinds of
// namespaces have further words.
const (
	NSHost = "host"
	// NSContainer begins the mode of one that joins another container's; the id
	// follows.
	NSContainer = "container:"

	IPCShareable = "shareable" // its own, which others may join; the default
	IPCPrivate   = "private"   // its own, which nobody joins
	IPCNone      = "none"      // its own, without /dev/shm
)

// Namespaces that a pod's containers may share.
const (
	ShareCgroup = "cgroup"
	ShareIPC    = "ipc"
	ShareNet    = "net"
	SharePID    = "pid"
	ShareUTS    = "uts"
)

// Exit policies of pods, as podman-pod-create(1) has them.
const (
	ExitContinue = "continue" // it goes on without containers
	ExitStop     = "stop"     // it ends with its last container
)

// PodGroup is the control group of a pod. Its name follows from the pod's id.
type PodGroup struct {
	Parent    string    `json:"parent,omitempty"` // as Container.CgroupParent
	Resources Resources `json:"resources,omitzero"`
}

// Pod is a request for a group of containers. Zero values mean "not asked".
type Pod struct {
	Version int    `json:"version"`
	Name    string `json:"name,omitempty"` // default: made up

	Infra      bool     `json:"infra,omitempty"`     // it has a process that holds what is shared
	InfraName  string   `json:"infraName,omitempty"` // default: ID-infra
	Share      []string `json:"share,omitempty"`     // sorted; empty without Infra
	Hostname   string   `json:"hostname,omitempty"`  // default: the name
	ExitPolicy string   `json:"exitPolicy,omitempty"`

	// Of the namespaces that are shared.
	Network        string       `json:"network,omitempty"` // as Container.Network and what follows there
	NetworkOptions []string     `json:"networkOptions,omitempty"`
	Networks       []NetworkUse `json:"networks,omitempty"`
	Ports          []Port       `json:"ports,omitempty"`
	DNS            DNS          `json:"dns,omitzero"`
	HostLoopback   Loopback     `json:"hostLoopback,omitzero"`

	PID     string            `json:"pid,omitempty"`   // empty or host
	UTS     string            `json:"uts,omitempty"`   // empty or host
	UserNS  UserNS            `json:"userNS,omitzero"` // always shared
	Sysctls map[string]string `json:"sysctls,omitempty"`
	ShmSize int64             `json:"shmSize,omitempty"` // bytes; 0: 64 MiB

	// The control group that the containers' groups are in.
	OwnGroups    bool      `json:"ownGroups,omitempty"`    // there is none; without the rest
	CgroupParent string    `json:"cgroupParent,omitempty"` // as Container.CgroupParent
	Resources    Resources `json:"resources,omitzero"`     // all containers together

	// What containers get that ask for nothing else.
	Restart     Restart  `json:"restart,omitzero"`
	Mounts      []Mount  `json:"mounts,omitempty"`
	VolumesFrom []string `json:"volumesFrom,omitempty"`
	Devices     []Device `json:"devices,omitempty"`
	Security    Security `json:"security,omitzero"`
	Hosts       Hosts    `json:"hosts,omitzero"`

	Labels map[string]string `json:"labels,omitempty"`
}
