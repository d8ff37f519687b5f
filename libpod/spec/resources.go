package spec

// Which control groups a container gets, as podman-run(1) has them.
const (
	CgroupsDefault  = ""         // one of its own, and one for its monitor, where that is possible
	CgroupsEnabled  = "enabled"  // the same, and an error where it is not
	CgroupsDisabled = "disabled" // none
	CgroupsNoConmon = "no-conmon"
	CgroupsSplit    = "split" // below the one that nook is run in
)

// Resources are limits on what a container uses. Zero values were not asked for.
type Resources struct {
	Memory            int64 `json:"memory,omitempty"`            // bytes; -1: no limit
	MemorySwap        int64 `json:"memorySwap,omitempty"`        // bytes of memory and swap together; -1: no limit
	MemoryReservation int64 `json:"memoryReservation,omitempty"` // bytes that are taken away last

	CPUShares  uint64 `json:"cpuShares,omitempty"`  // 2 to 262144; what others have is 1024
	CPUPeriod  uint64 `json:"cpuPeriod,omitempty"`  // microseconds
	CPUQuota   int64  `json:"cpuQuota,omitempty"`   // microseconds in each period; -1: no limit
	CpusetCpus string `json:"cpusetCpus,omitempty"` // as cpuset(7), "List format"
	CpusetMems string `json:"cpusetMems,omitempty"`

	// Pids is the number of threads; -1: no limit. 0: DefaultPids where that can be
	// had.
	Pids int64 `json:"pids,omitempty"`

	BlkioWeight        uint16         `json:"blkioWeight,omitempty"` // 10 to 1000
	BlkioWeightDevices []DeviceAmount `json:"blkioWeightDevices,omitempty"`
	ReadBps            []DeviceAmount `json:"readBps,omitempty"` // bytes a second
	WriteBps           []DeviceAmount `json:"writeBps,omitempty"`
	ReadIOps           []DeviceAmount `json:"readIOps,omitempty"` // operations a second
	WriteIOps          []DeviceAmount `json:"writeIOps,omitempty"`

	// Unified are files of cgroup v2 and what to write to them.
	Unified map[string]string `json:"unified,omitempty"`
}

// DeviceAmount is a number for one block device.
type DeviceAmount struct {
	Path   string `json:"path"` // absolute
	Amount uint64 `json:"amount"`
}

// DefaultPids is how many threads a container may have that did not ask, as
// podman's.
const DefaultPids = 2048
