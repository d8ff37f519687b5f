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
	Init       bool      `json:"init,omitempty"` // a reaper as process 1
	StopSignal string    `json:"stopSignal,omitempty"`

	// Terminal and streams.
	TTY         bool   `json:"tty,omitempty"`
	OpenStdin   bool   `json:"openStdin,omitempty"`
	DetachKeys  string `json:"detachKeys,omitempty"`  // default ctrl-p,ctrl-q
	PreserveFDs int    `json:"preserveFDs,omitempty"` // descriptors 3 to 2+n reach the container

	// Life cycle.
	Remove  bool    `json:"remove,omitempty"` // delete the container when it ends
	Restart Restart `json:"restart,omitzero"`

	// Files.
	Mounts   []Mount `json:"mounts,omitempty"`
	ReadOnly bool    `json:"readOnly,omitempty"` // root file system
	// ReadOnlyAll leaves out the writable /run, /tmp and /var/tmp that ReadOnly
	// otherwise gets.
	ReadOnlyAll bool     `json:"readOnlyAll,omitempty"`
	Devices     []Device `json:"devices,omitempty"`
	ShmSize     int64    `json:"shmSize,omitempty"` // bytes; 0: 64 MiB

	// Isolation.
	Network  string            `json:"network,omitempty"` // none (default) or host
	UserNS   UserNS            `json:"userNS,omitzero"`
	CapAdd   []string          `json:"capAdd,omitempty"`
	CapDrop  []string          `json:"capDrop,omitempty"`
	Security Security          `json:"security,omitzero"`
	Sysctls  map[string]string `json:"sysctls,omitempty"`
	Ulimits  []Ulimit          `json:"ulimits,omitempty"`

	// Description.
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
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
}

// Mount kinds.
const (
	MountBind  = "bind"
	MountTmpfs = "tmpfs"
)

// Mount is one file system in the container beside its root.
type Mount struct {
	Type     string   `json:"type"`             // MountBind or MountTmpfs
	Source   string   `json:"source,omitempty"` // absolute host path of a bind
	Target   string   `json:"target"`           // absolute path in the container
	ReadOnly bool     `json:"readOnly,omitempty"`
	Options  []string `json:"options,omitempty"` // mount options as in mount(8), checked by the front end
}

// Device is a host device node shown in the container by a bind mount, since a
// user namespace cannot make nodes.
type Device struct {
	Source      string `json:"source"`                // absolute path on the host
	Target      string `json:"target,omitempty"`      // default: Source
	Permissions string `json:"permissions,omitempty"` // some of "rwm"; default all
}

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
)

// UserNS says which ids the container sees.
type UserNS struct {
	Mode string  `json:"mode,omitempty"`
	UID  *uint32 `json:"uid,omitempty"` // keep-id: the user's id inside; default the same as outside
	GID  *uint32 `json:"gid,omitempty"`
	Size uint32  `json:"size,omitempty"` // ids inside; default all
}

// Security is the sum of --security-opt.
type Security struct {
	NoNewPrivileges bool     `json:"noNewPrivileges,omitempty"`
	Seccomp         string   `json:"seccomp,omitempty"` // empty: default profile; SeccompUnconfined; else the profile's JSON text
	Mask            []string `json:"mask,omitempty"`    // further paths to hide
	Unmask          []string `json:"unmask,omitempty"`  // paths not to hide or protect; UnmaskAll for every one
}

// Special values of Security's fields.
const (
	SeccompUnconfined = "unconfined"
	UnmaskAll         = "ALL"
)
