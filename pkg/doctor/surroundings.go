package doctor

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nook-containers/nook/pkg/problem/remedy"
	"github.com/nook-containers/nook/pkg/sys"
)

// Container checks what the container lacks that nook itself runs in.
func Container(h *Host) []Result {
	const check = "container"
	kind := h.container()
	mounts := h.Read("/proc/self/mountinfo")
	if over := overProc(mounts); len(over) > 0 {
		where := "something"
		if kind != "" {
			where = "the " + kind + " container around nook"
		}
		return []Result{{
			Check: check, Level: Warning, Found: fmt.Sprintf("%s covers parts of /proc (%s)", where, strings.Join(over[:min(len(over), 3)], ", ")),
			Means:  "The kernel then lets nobody mount a /proc of their own: containers see this system's processes and their arguments.",
			Advice: "start the container around with: docker run --security-opt systempaths=unconfined, or podman run --security-opt unmask=ALL",
		}}
	}
	if kind == "" {
		return []Result{Fine(check, "nook runs in none")}
	}
	return []Result{Fine(check, "nook runs in a %s container, which covers nothing that it needs", kind)}
}

// container names what runs the container that this process is in (systemd, "Container
// Interface"), "" outside.
func (h *Host) container() string {
	if kind := h.Getenv("container"); kind != "" {
		return kind
	}
	if kind := h.Read("/run/systemd/container"); kind != "" {
		return kind
	}
	for _, mark := range [][2]string{{"/.dockerenv", "docker"}, {"/run/.containerenv", "podman"}, {"/var/run/secrets/kubernetes.io", "kubernetes"}} {
		if h.Exists(mark[0]) {
			return mark[1]
		}
	}
	return ""
}

// overProc lists the mounts below /proc that hide parts of it (mount_too_revealing
// in fs/namespace.c). On the mount for binfmt_misc nothing is hidden.
func overProc(mountinfo string) []string {
	var over []string
	for line := range strings.Lines(mountinfo) {
		f := strings.Fields(line)
		if len(f) > 4 && strings.HasPrefix(f[4], "/proc/") && f[4] != "/proc/sys/fs/binfmt_misc" && f[4] != "/proc/fs/nfsd" {
			over = append(over, f[4])
		}
	}
	slices.Sort(over)
	return slices.Compact(over)
}

// Session checks for the user's session: its directory, its service manager and
// whether that outlives the last logout.
func Session(h *Host) []Result {
	all := []Result{runtimeDir(h)}
	if !h.Exists("/run/systemd/system") {
		return append(all, Fine("service-manager", "this system has no systemd"))
	}
	name := h.UserName()
	manager := fmt.Sprintf("/run/user/%d/systemd/private", h.UID)
	if !h.Exists(manager) {
		return append(all, Result{
			Check: "service-manager", Level: Warning, Found: "the user's systemd does not run",
			Means: "Limits of processor, memory and processes are refused, and units are not possible.",
			Fix:   "sudo loginctl enable-linger " + remedy.Quote(name),
		})
	}
	all = append(all, Fine("service-manager", "%s", manager))
	if h.Exists("/var/lib/systemd/linger/" + name) {
		return append(all, Fine("linger", "containers outlive the last logout"))
	}
	return append(all, Result{
		Check: "linger", Level: OK, Found: "off", Means: "Containers in the background end with your last logout.",
		Fix: "loginctl enable-linger",
	})
}

func runtimeDir(h *Host) Result {
	const check = "runtime-directory"
	dir := h.Getenv("XDG_RUNTIME_DIR")
	home := fmt.Sprintf("/run/user/%d", h.UID)
	r := Result{
		Check: check, Level: Warning, Means: "nook keeps the state of this boot on disk instead, in " + h.Run + ", and does not find your session.",
		Advice: "log in as this user, with ssh or: machinectl shell; su and sudo leave the session behind",
	}
	if h.Exists(home) {
		r.Fix, r.Advice = "export XDG_RUNTIME_DIR="+home, ""
	}
	fi, err := os.Stat(h.Path(dir))
	switch {
	case dir == "":
		r.Found = "XDG_RUNTIME_DIR is not set"
	case !filepath.IsAbs(dir):
		r.Found = fmt.Sprintf("XDG_RUNTIME_DIR=%s is no absolute path", dir)
	case err != nil:
		r.Found = fmt.Sprintf("XDG_RUNTIME_DIR=%s does not exist", dir)
	case !fi.IsDir() || !sys.Writable(h.Path(dir)):
		r.Found = fmt.Sprintf("XDG_RUNTIME_DIR=%s is not yours to write to", dir)
	case fi.Mode().Perm()&0o077 != 0:
		r.Found, r.Means = fmt.Sprintf("XDG_RUNTIME_DIR=%s is open to others (mode %o)", dir, fi.Mode().Perm()), "Other users may see the state of your containers."
		r.Fix, r.Advice = "chmod 700 "+remedy.Quote(dir), ""
		r.Do = func() (string, error) { return "ran: " + r.Fix, os.Chmod(h.Path(dir), 0o700) } //nolint:gosec // a directory of the user's own
	default:
		return Fine(check, "%s", dir)
	}
	return r
}
