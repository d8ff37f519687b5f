// Package plan is what a runtime tells the init stage of a container: the OCI
// spec reduced to steps and numbers.
//
// Theory of operation: the parent does what can be computed (validation,
// option tables, seccomp compilation) while init starts, writes one Plan into a
// memory file that init has inherited, sends descriptors and says Go. Init carries the Plan out and
// talks back over a socket that keeps message boundaries. There is no other
// channel, and nothing in the container's file system takes part.
//
// The package imports nothing: the early stage links it.
package plan

// Descriptors that init is started with, after the standard three.
const (
	SyncFD = 3 // the socket to the parent
	PlanFD = 4 // the memory file with the Plan
)

// MaxAccounts bounds /etc/passwd and /etc/group of a container, in bytes: both are
// untrusted and read into memory (CVE-2024-9676, CVE-2026-47262).
const MaxAccounts = 16 << 20

// MaxSize bounds a packed Plan and MaxMessage one message, in bytes. execve
// itself takes no more than 2 MiB of arguments and environment on an 8 MiB stack.
const (
	MaxSize    = 16 << 20
	MaxMessage = 64 << 10
)

// InitName, EnterName and ReaperName are argv[0] of the early stages: a container's
// init, a command that enters a running container, and an init of ours.
const (
	InitName   = "nook-init"
	EnterName  = "nook-enter"
	ReaperName = "nook-reaper"
)

// NoFD stands for a descriptor that is not there. Other numbers in a Plan count
// the descriptors that came with Files messages; the first three are the
// command's standard streams.
const NoFD = -1

// Plan is everything init does between clone and execve.
type Plan struct {
	// Bundle is the absolute path of the bundle, for the state that hooks get.
	Bundle string
	// NewUser tells that the user namespace is new: init becomes its root.
	NewUser bool
	// KillWithParent makes the death of the parent's thread kill init.
	KillWithParent bool
	// TimerSlack is the command's, in nanoseconds: prctl(2), PR_SET_TIMERSLACK.
	TimerSlack uint64
	// Gate is a listening socket on which init, once ready, accepts the
	// connection that starts it, in place of the Go message; else NoFD.
	Gate int
	// Held is a descriptor to keep open until execve, or NoFD.
	Held int
	// SelfProc is this process's directory in the host's procfs, where the
	// container's can't be trusted, or NoFD.
	SelfProc int
	// Join are namespaces to enter, in this order.
	Join []Join
	// Unshare are CLONE_NEW* flags of namespaces to make after those.
	Unshare uintptr
	// TimeOffsets are lines of /proc/self/timens_offsets.
	TimeOffsets string
	// FS is the file system to build; nil leaves root and mounts as they are.
	FS *FS
	// OwnPID tells that the pid namespace is new, OwnNet the network's.
	OwnPID, OwnNet bool

	Hostname, Domainname string
	Sysctl               []Sysctl
	OOMScoreAdj          string
	Rlimits              []Rlimit
	Scheduler            *Scheduler
	IOPriority           *int
	Personality          *uint32
	Label                *Label
	Process              Process
	Hooks                Hooks
	Seccomp              []byte // struct sock_filter, native byte order
	SeccompFlags         uint
	// State is the JSON object that hooks get, with Pid and Status to be filled
	// in by init.
	State State
}

// Join is a namespace to enter: CLONE_NEW* type and descriptor.
type Join struct{ Type, FD int }

// FS describes the container's root and what is mounted below it.
type FS struct {
	Root        string // directory; used where RootFD is NoFD
	RootFD      int    // detached mount
	Readonly    bool
	Slave       bool    // let mounts of the host propagate in while building
	Propagation uintptr // MS_* of "/" in the end; 0: as built
	Mounts      []Mount
	OwnDev      bool // make Devices and the links of /dev
	// DevReadonly protects /dev once its nodes are there.
	DevReadonly   bool
	Devices       []Device
	Masked        []string
	ReadonlyPaths []string
}

// Mount is one entry of the spec's mounts.
type Mount struct {
	Dest   string // absolute, clean
	Bind   bool
	Type   string // of a new file system
	Source string
	FD     int     // detached mount to use for a bind mount, or NoFD
	Flags  uintptr // MS_* of a new file system
	Data   string
	// Attr holds for the mount itself, RecAttr also for those below it.
	Attr, RecAttr Attr
	Recursive     bool
	CopyUp        bool // fill a new tmpfs with what it hides
}

// Attr is a change of mount attributes, as mount_setattr(2) takes it.
type Attr struct{ Set, Clear, Propagation uint64 }

// Zero reports whether a changes nothing.
func (a Attr) Zero() bool { return a == Attr{} }

// Device is a node below the container's root.
type Device struct {
	Path         string
	Type         byte // 'c', 'b' or 'p'
	Major, Minor uint32
	Mode         uint32 // permission bits, for nodes that are made
	UID, GID     uint32
}

// Sysctl is a value for the file Path below /proc/sys.
type Sysctl struct{ Path, Value string }

// Rlimit is one resource limit; Name is for messages.
type Rlimit struct {
	Name       string
	Resource   int
	Soft, Hard uint64
}

// Scheduler is the argument of sched_setattr(2).
type Scheduler struct {
	Policy                    uint32
	Flags                     uint64
	Nice                      int32
	Priority                  uint32
	Runtime, Deadline, Period uint64
}

// Label is a value for a file in /proc/self/attr, a security module's.
type Label struct{ File, Value string }

// Process is the command and what it runs as.
type Process struct {
	Args, Env  []string
	Cwd        string
	UID, GID   uint32
	Groups     []uint32
	KeepGroups bool // leave the caller's supplementary groups
	Umask      uint32
	Caps       Caps
	NoNewPrivs bool
	Terminal   bool
	Rows, Cols uint16 // of the terminal
	Reaper     bool
	SelfFD     int // this program, to run the reaper from; or NoFD
	Extra      int // how many descriptors go to the command as 3..
	ExtraFD    int // the first of them
}

// Caps are masks; bit N is capability N.
type Caps struct{ Bounding, Effective, Permitted, Inheritable, Ambient uint64 }

// Hooks are those that init itself runs, or waits for.
type Hooks struct {
	Runtime         bool // the parent runs some before pivot_root
	CreateContainer []Hook
	StartContainer  []Hook
}

// Hook is a program; Timeout in seconds, 0 for none.
type Hook struct {
	Path      string
	Args, Env []string
	Timeout   int
}

// State is the runtime spec's state object.
type State struct {
	Version     string            `json:"ociVersion"`
	ID          string            `json:"id"`
	Status      string            `json:"status"`
	Pid         int               `json:"pid,omitempty"`
	Bundle      string            `json:"bundle"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// Kinds of messages.
const (
	Namespaces = "namespaces" // init: they exist, now the runtime's hooks
	Ready      = "ready"      // init: all is done up to execve
	Accounts   = "accounts"   // parent: send the container's passwd and group; stage: here they are, two descriptors
	Failed     = "failed"     // init: Step, Object and Cause say why
	Files      = "files"      // parent: more descriptors, with this message
	Go         = "go"         // parent: go on
)

// Message goes over the socket, one JSON object each.
type Message struct {
	Kind   string
	Step   string `json:",omitempty"` // what was being done
	Object string `json:",omitempty"` // on what
	Cause  string `json:",omitempty"`
	Errno  int    `json:",omitempty"`
	// Exec is set where it is the command that can't run: the exit status that
	// shells give, 126 or 127.
	Exec int `json:",omitempty"`
}
