package system

import (
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/ocispec"
	"github.com/nook-containers/nook/pkg/cgroups"
	"github.com/nook-containers/nook/pkg/doctor"
	"github.com/nook-containers/nook/pkg/logs"
	"github.com/nook-containers/nook/pkg/sys"
)

// hostOf fills in what files of /proc and /sys tell.
func hostOf(h *doctor.Host) hostInfo {
	share := cgroups.ShareOf(h)
	i := hostInfo{
		Arch: runtime.GOARCH, OS: runtime.GOOS, CPUs: runtime.NumCPU(), Linkmode: "static",
		Kernel: h.Read("/proc/sys/kernel/osrelease"), Hostname: h.Read("/proc/sys/kernel/hostname"),
		CgroupManager: "cgroupfs", CgroupsVersion: "v1", CgroupControllers: share.Controllers,
		CPUUtilization: utilizationOf(h.Read("/proc/stat")), Distribution: distributionOf(h.OSRelease()),
		EventLogger: "file", LogDriver: logs.K8sFile, NetworkBackend: "none",
		Pasta: program{Path: h.Find("pasta")}, Slirp4NetNS: program{Path: h.Find("slirp4netns")},
		Security: securityOf(h),
	}
	if share.Layout == cgroups.Unified {
		i.CgroupsVersion = "v2"
	}
	if share.Manager {
		i.CgroupManager = "systemd"
	}
	if i.CgroupControllers == nil {
		i.CgroupControllers = []string{}
	}
	mem := h.Read("/proc/meminfo")
	i.MemTotal, i.MemFree = kilobytes(mem, "MemTotal"), kilobytes(mem, "MemFree")
	i.SwapTotal, i.SwapFree = kilobytes(mem, "SwapTotal"), kilobytes(mem, "SwapFree")
	if up, _, err := sys.UptimeMemory(); err == nil {
		i.Uptime = uptime(up)
	}
	return i
}

// kilobytes is an entry of proc_meminfo(5) in bytes, 0 where it is missing.
func kilobytes(meminfo, key string) int64 {
	for line := range strings.Lines(meminfo) {
		if v, ok := strings.CutPrefix(line, key+":"); ok {
			n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(v), " kB"), 10, 64)
			return n << 10
		}
	}
	return 0
}

// utilizationOf is how the processors' time since boot divides (proc_stat(5)).
func utilizationOf(stat string) utilization {
	line, _, _ := strings.Cut(stat, "\n")
	f := strings.Fields(line)
	if len(f) < 5 || f[0] != "cpu" {
		return utilization{}
	}
	var n [4]float64 // user, nice, system, idle
	for k := range n {
		n[k], _ = strconv.ParseFloat(f[k+1], 64)
	}
	total := n[0] + n[1] + n[2] + n[3]
	if total == 0 {
		return utilization{}
	}
	percent := func(v float64) float64 { return float64(int(v/total*10000+0.5)) / 100 }
	return utilization{UserPercent: percent(n[0] + n[1]), SystemPercent: percent(n[2]), IdlePercent: percent(n[3])}
}

// distributionOf reads os-release(5).
func distributionOf(text string) distribution {
	return distribution{
		Distribution: orUnknown(osRelease(text, "ID")), Variant: osRelease(text, "VARIANT_ID"),
		Version: orUnknown(osRelease(text, "VERSION_ID")), Codename: osRelease(text, "VERSION_CODENAME"),
	}
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

func osRelease(text, key string) string {
	for line := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(line, key+"="); ok {
			return strings.Trim(strings.TrimSpace(v), `"'`)
		}
	}
	return ""
}

func securityOf(h *doctor.Host) security {
	s := security{
		Rootless: h.UID != 0, AppArmorEnabled: h.Read("/sys/module/apparmor/parameters/enabled") == "Y",
		SELinuxEnabled: h.Exists("/sys/fs/selinux/enforce"), SECCOMPEnabled: h.Exists("/proc/sys/kernel/seccomp"),
		SECCOMPProfilePath: "default", // it is built in
	}
	if set, _, err := ocispec.Capabilities(nil, nil); err == nil {
		s.Capabilities = strings.Join(set, ",")
	}
	return s
}

// uptime is written as podman does it.
func uptime(d time.Duration) string {
	s := d.Seconds()
	text := fmt.Sprintf("%dh %dm %.2fs", int(s)/3600, int(s)/60%60, float64(int(s)%60))
	if days := d.Hours() / 24; days >= 0.01 {
		text += fmt.Sprintf(" (Approximately %.2f days)", days)
	}
	return text
}

// forDocker fills in docker's names for what is known by now.
func (i *info) forDocker(h *doctor.Host, f *cmdutil.Factory) {
	has := func(controller string) bool { return slices.Contains(i.Host.CgroupControllers, controller) }
	getenv := func(name string) string {
		if v := h.Getenv(strings.ToUpper(name)); v != "" {
			return v
		}
		return h.Getenv(name)
	}
	n := i.Store.ContainerStore
	i.dockerInfo = dockerInfo{
		Name: i.Host.Hostname, ServerVersion: f.Version, Driver: i.Store.GraphDriverName, DriverStatus: [][2]string{},
		DockerRootDir: i.Store.GraphRoot,
		Containers:    n.Number, ContainersRunning: n.Running, ContainersPaused: n.Paused, ContainersStopped: n.Stopped,
		Images: i.Store.ImageStore.Number, CgroupDriver: i.Host.CgroupManager, CgroupVersion: strings.TrimPrefix(i.Host.CgroupsVersion, "v"),
		LoggingDriver: i.Host.LogDriver, KernelVersion: i.Host.Kernel, OSType: i.Host.OS, Architecture: machine(),
		OperatingSystem: orUnknown(osRelease(h.OSRelease(), "PRETTY_NAME")), OSVersion: i.Host.Distribution.Version,
		NCPU: i.Host.CPUs, MemTotal: i.Host.MemTotal,
		MemoryLimit: has("memory"), SwapLimit: has("memory"), CPUCfsQuota: has("cpu"), CPUCfsPeriod: has("cpu"), CPUShares: has("cpu"),
		CPUSet: has("cpuset"), PidsLimit: has("pids"), IndexServerAddress: "https://index.docker.io/v1/",
		HTTPProxy: getenv("http_proxy"), HTTPSProxy: getenv("https_proxy"), NoProxy: getenv("no_proxy"),
		Runtimes: map[string]runtimePath{i.Host.OCIRuntime.Name: {i.Host.OCIRuntime.Path}}, DefaultRuntime: i.Host.OCIRuntime.Name,
		InitBinary: "nook", LiveRestoreEnabled: true, SecurityOptions: i.Host.Security.options(), Warnings: i.Warnings,
	}
	for key, value := range i.Store.GraphStatus {
		i.DriverStatus = append(i.DriverStatus, [2]string{key, value})
	}
	if i.Warnings == nil {
		i.Warnings = []string{}
	}
}

// options are the words that docker has for it.
func (s security) options() []string {
	var all []string
	for _, o := range []struct {
		on   bool
		name string
	}{
		{s.AppArmorEnabled, "name=apparmor"},
		{s.SECCOMPEnabled, "name=seccomp,profile=builtin"},
		{s.SELinuxEnabled, "name=selinux"},
		{s.Rootless, "name=rootless"},
		{true, "name=cgroupns"},
	} {
		if o.on {
			all = append(all, o.name)
		}
	}
	return all
}

// machine is what uname -m says.
func machine() string {
	switch runtime.GOARCH {
	case "amd64":
		return "x86_64"
	case "arm64":
		return "aarch64"
	case "386":
		return "i686"
	}
	return runtime.GOARCH
}
