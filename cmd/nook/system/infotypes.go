package system

// info is what "nook info" shows: podman's tree, and beside it the names that
// docker's templates use. A field is left out where nook has no such thing.
type info struct {
	Host       hostInfo       `json:"host"`
	Store      storeInfo      `json:"store"`
	Registries map[string]any `json:"registries"`
	Plugins    pluginInfo     `json:"plugins"`
	Version    versionDetail  `json:"version"`
	dockerInfo
}

type hostInfo struct {
	Arch              string       `json:"arch"`
	CgroupManager     string       `json:"cgroupManager"`
	CgroupsVersion    string       `json:"cgroupVersion"`
	CgroupControllers []string     `json:"cgroupControllers"`
	CPUs              int          `json:"cpus"`
	CPUUtilization    utilization  `json:"cpuUtilization"`
	Distribution      distribution `json:"distribution"`
	EventLogger       string       `json:"eventLogger"`
	Hostname          string       `json:"hostname"`
	IDMappings        idMappings   `json:"idMappings"`
	Kernel            string       `json:"kernel"`
	LogDriver         string       `json:"logDriver"`
	MemFree           int64        `json:"memFree"`  // bytes, as the others
	MemTotal          int64        `json:"memTotal"` //
	NetworkBackend    string       `json:"networkBackend"`
	OCIRuntime        program      `json:"ociRuntime"`
	OS                string       `json:"os"`
	Pasta             program      `json:"pasta"`
	RemoteSocket      socket       `json:"remoteSocket"`
	ServiceIsRemote   bool         `json:"serviceIsRemote"`
	Security          security     `json:"security"`
	Slirp4NetNS       program      `json:"slirp4netns"`
	SwapFree          int64        `json:"swapFree"`
	SwapTotal         int64        `json:"swapTotal"`
	Uptime            string       `json:"uptime"`
	Linkmode          string       `json:"linkmode"`
}

type utilization struct {
	UserPercent   float64 `json:"userPercent"`
	SystemPercent float64 `json:"systemPercent"`
	IdlePercent   float64 `json:"idlePercent"`
}

type distribution struct {
	Distribution string `json:"distribution"`
	Variant      string `json:"variant,omitempty"`
	Version      string `json:"version"`
	Codename     string `json:"codename,omitempty"`
}

type idMappings struct {
	GIDMap []idMapping `json:"gidmap"`
	UIDMap []idMapping `json:"uidmap"`
}

type idMapping struct {
	ContainerID uint32 `json:"container_id"`
	HostID      uint32 `json:"host_id"`
	Size        uint32 `json:"size"`
}

// program is a program that nook is or can use; Path is empty where it is missing.
type program struct {
	Name    string `json:"name,omitempty"`
	Path    string `json:"path"`
	Version string `json:"version,omitempty"`
}

// socket is where a service would listen. There is none.
type socket struct {
	Exists bool   `json:"exists"`
	Path   string `json:"path"`
}

type security struct {
	AppArmorEnabled    bool   `json:"apparmorEnabled"`
	Capabilities       string `json:"capabilities"`
	Rootless           bool   `json:"rootless"`
	SECCOMPEnabled     bool   `json:"seccompEnabled"`
	SECCOMPProfilePath string `json:"seccompProfilePath"`
	SELinuxEnabled     bool   `json:"selinuxEnabled"`
}

type storeInfo struct {
	ConfigFile         string            `json:"configFile"`
	ContainerStore     containerCount    `json:"containerStore"`
	GraphDriverName    string            `json:"graphDriverName"`
	GraphOptions       map[string]string `json:"graphOptions"`
	GraphRoot          string            `json:"graphRoot"`
	GraphRootAllocated uint64            `json:"graphRootAllocated"` // bytes of its file system
	GraphRootUsed      uint64            `json:"graphRootUsed"`
	GraphStatus        map[string]string `json:"graphStatus"`
	ImageCopyTmpDir    string            `json:"imageCopyTmpDir"`
	ImageStore         imageCount        `json:"imageStore"`
	RunRoot            string            `json:"runRoot"`
	VolumePath         string            `json:"volumePath"`
	TransientStore     bool              `json:"transientStore"`
}

type containerCount struct {
	Number  int `json:"number"`
	Paused  int `json:"paused"`
	Running int `json:"running"`
	Stopped int `json:"stopped"`
}

type imageCount struct {
	Number int `json:"number"`
}

type pluginInfo struct {
	Volume        []string `json:"volume"`
	Network       []string `json:"network"`
	Log           []string `json:"log"`
	Authorization []string `json:"authorization"`
}

type versionDetail struct {
	Version   string
	GoVersion string
	OsArch    string
	Os        string
}

// dockerInfo has the fields of docker-info(1).
type dockerInfo struct {
	Name               string
	ServerVersion      string
	Driver             string
	DriverStatus       [][2]string
	DockerRootDir      string
	Containers         int
	ContainersRunning  int
	ContainersPaused   int
	ContainersStopped  int
	Images             int
	CgroupDriver       string
	CgroupVersion      string
	LoggingDriver      string
	KernelVersion      string
	OperatingSystem    string
	OSType             string
	OSVersion          string
	Architecture       string
	NCPU               int
	MemTotal           int64
	MemoryLimit        bool
	SwapLimit          bool
	CPUCfsQuota        bool `json:"CpuCfsQuota"`
	CPUCfsPeriod       bool `json:"CpuCfsPeriod"`
	CPUShares          bool
	CPUSet             bool
	PidsLimit          bool
	IndexServerAddress string
	HTTPProxy          string `json:"HttpProxy"`
	HTTPSProxy         string `json:"HttpsProxy"`
	NoProxy            string
	Runtimes           map[string]runtimePath
	DefaultRuntime     string
	InitBinary         string
	SecurityOptions    []string
	LiveRestoreEnabled bool
	Warnings           []string
}

type runtimePath struct {
	Path string `json:"path"`
}
