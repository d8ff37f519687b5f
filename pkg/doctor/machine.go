package doctor

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/problem/remedy"
	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/pkg/units"
)

// Kernel checks the version: overlay in a user namespace came with 5.11.
func Kernel(h *Host) []Result {
	const check = "kernel"
	release := h.Read("/proc/sys/kernel/osrelease")
	major, minor := version(release)
	switch {
	case release == "":
		return []Result{{
			Check: check, Level: Problem, Found: "/proc is not mounted, or closed",
			Means: "Nothing of nook works without it.", Fix: "sudo mount -t proc proc /proc",
		}}
	case major < 5 || major == 5 && minor < 11:
		return []Result{{
			Check: check, Level: Problem, Found: "Linux " + release + ", and nook needs 5.11",
			Means:  "Without overlay for ordinary users each container is a copy of its image, or needs fuse-overlayfs; some settings fail.",
			Advice: "install a newer kernel, as your distribution's next release has it",
		}}
	}
	return []Result{Fine(check, "Linux %s", release)}
}

// version takes apart what uname(2) calls the release.
func version(release string) (major, minor int) {
	first, rest, _ := strings.Cut(release, ".")
	major, _ = strconv.Atoi(first)
	end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(rest)
	}
	minor, _ = strconv.Atoi(rest[:end])
	return major, minor
}

// written is a day when this was: no clock that is right shows an earlier one.
func written() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }

// Clock checks the time of day against nook's age, the last start of the system, and
// what nook wrote before.
func Clock(h *Host) []Result {
	const check = "clock"
	const means = "Registries cannot be reached, as no certificate is valid yet, and new files look older than old ones."
	const fix = "sudo timedatectl set-ntp true"
	now := h.now()
	bad := func(format string, args ...any) []Result {
		return []Result{{Check: check, Level: Problem, Found: fmt.Sprintf(format, args...), Means: means, Fix: fix}}
	}
	const day = time.DateOnly
	if now.Before(written()) {
		return bad("it shows %s, which is long past", now.Format(day))
	}
	if boot := h.bootTime(); boot.After(now.Add(time.Minute)) {
		return bad("it shows %s, and the system started on %s", now.Format(time.DateTime), boot.Format(time.DateTime))
	}
	if fi, err := os.Stat(h.Path(h.Data)); err == nil && fi.ModTime().After(now.Add(time.Hour)) {
		return bad("it shows %s, and %s was written on %s", now.Format(time.DateTime), h.Data, fi.ModTime().Format(time.DateTime))
	}
	return []Result{Fine(check, "%s", now.Format(time.DateTime))}
}

// bootTime is btime of proc_stat(5), the zero time where that is unknown.
func (h *Host) bootTime() time.Time {
	for line := range strings.Lines(h.Read("/proc/stat")) {
		if v, ok := strings.CutPrefix(line, "btime "); ok {
			if n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64); err == nil {
				return time.Unix(n, 0)
			}
		}
	}
	return time.Time{}
}

// Disk checks the places where nook writes.
func Disk(h *Host) []Result {
	all := disk(h, "data-directory", h.Data)
	if h.Run != "" && !strings.HasPrefix(h.Run, h.Data+"/") {
		all = append(all, disk(h, "run-directory", h.Run)...)
	}
	return all
}

// What is too little: an image of some size does not fit any more; not even a
// record does.
const (
	lowBytes, noBytes = 1 << 30, 16 << 20
	lowFiles, noFiles = 20000, 200
)

func disk(h *Host, check, dir string) []Result {
	at := h.Nearest(dir)
	d, err := h.space(at)
	if err != nil {
		err = problem.Hint(err, "%s", otherPlace())
		return []Result{FromError(check, Problem, err, "No container can be made.")}
	}
	r := Result{Check: check, Level: Problem, Means: "No container can be made."}
	switch {
	case d.ReadOnly:
		r.Found, r.Advice = fmt.Sprintf("%s is on a file system that is mounted read-only", dir), "keep the data elsewhere: export XDG_DATA_HOME=DIR"
	case sys.Writable(h.Path(at)):
		return []Result{room(r, dir, d)}
	case at == dir:
		r.Found, r.Fix = at+" is not yours to write to", fmt.Sprintf("sudo chown %d: %s", h.UID, remedy.Quote(at))
	default: // it would be somebody else's for good reason
		r.Found, r.Advice = at+" is not yours to write to", otherPlace()
	}
	return []Result{r}
}

// room judges the space there is. What is not for data holds sockets and locks only.
func room(r Result, dir string, d sys.Disk) Result {
	forData := strings.HasPrefix(r.Check, "data")
	space, files := left(d), fmt.Sprintf("%s: its file system can take %d more files only", dir, d.Left)
	limited := d.Files > 0
	r.Advice = "free some space: nook system prune --all"
	switch {
	case d.Free < 1<<20, forData && d.Free < noBytes:
		r.Found = fmt.Sprintf("%s: the disk is full, with %s left", dir, space)
	case limited && d.Left < noFiles:
		r.Found = files
	case forData && d.Free < lowBytes:
		r.Level, r.Means, r.Found = Warning, "Larger images will not fit.", fmt.Sprintf("%s: %s left on the disk", dir, space)
	case forData && limited && d.Left < lowFiles:
		r.Level, r.Means, r.Found = Warning, "Images with many files will not fit.", files
	default:
		return Fine(r.Check, "%s on %s, %s left", dir, d.Name, space)
	}
	return r
}

func left(d sys.Disk) string { return units.Size(int64(min(d.Free, math.MaxInt64))) }

func otherPlace() string { return "set HOME and XDG_DATA_HOME to directories of yours" }

// Limits checks what setrlimit(2) leaves this process and its children.
func Limits(h *Host) []Result {
	const check = "limits"
	name := h.UserName()
	var all []Result
	for _, l := range []struct {
		title, item string
		least       uint64
		want, means string
	}{
		{"Max open files", "nofile", 4096, "524288", "Servers and databases in containers run out of open files."},
		{"Max processes", "nproc", 512, "unlimited", "Containers cannot start their processes."},
		{"Max locked memory", "memlock", 64 << 10, "8192", "Databases that lock memory do not start."},
		{"Max file size", "fsize", 1 << 30, "unlimited", "Images cannot be unpacked."},
	} {
		soft, hard, ok := h.limit(l.title)
		if !ok || hard >= l.least {
			continue
		}
		err := fmt.Errorf("%s is %d at most (now %d)", strings.ToLower(strings.TrimPrefix(l.title, "Max ")), hard, soft)
		if name != "" {
			file := "/etc/security/limits.d/99-nook-" + l.item + ".conf"
			err = problem.Run(err, fmt.Sprintf("echo %s | sudo tee %s", remedy.Quote(name+" - "+l.item+" "+l.want), file))
		}
		all = append(all, FromError(check, Warning, err, l.means+" A change counts from the next login on."))
	}
	if len(all) == 0 {
		_, files, _ := h.limit("Max open files")
		all = append(all, Fine(check, "%d open files", files))
	}
	return all
}

// limit reads proc_pid_limits(5).
func (h *Host) limit(title string) (soft, hard uint64, ok bool) {
	for line := range strings.Lines(h.Read("/proc/self/limits")) {
		rest, found := strings.CutPrefix(line, title+" ")
		if f := strings.Fields(rest); found && len(f) >= 2 {
			s, serr := number(f[0])
			n, herr := number(f[1])
			return s, n, errors.Join(serr, herr) == nil
		}
	}
	return 0, 0, false
}

func number(s string) (uint64, error) {
	if s == "unlimited" {
		return math.MaxUint64, nil
	}
	return strconv.ParseUint(s, 10, 64)
}

// Leftovers checks for state of earlier boots in Data/run, which is where Run is
// without a session (package config).
func Leftovers(h *Host) []Result {
	const check = "earlier-boots"
	dir := filepath.Join(h.Data, "run")
	entries, err := os.ReadDir(h.Path(dir))
	if err != nil || len(entries) == 0 {
		return []Result{Fine(check, "nothing left of them")}
	}
	boot := h.Read("/proc/sys/kernel/random/boot_id")
	var old []string
	for _, e := range entries {
		if e.IsDir() && e.Name() != boot && boot != "" {
			old = append(old, e.Name())
		}
	}
	if len(old) == 0 {
		return []Result{Fine(check, "nothing left of them")}
	}
	return []Result{{
		Check: check, Level: Warning, Found: fmt.Sprintf("%d of them left their state in %s", len(old), dir),
		Means: "It takes space, and nothing uses it.", Advice: "run: nook doctor --fix",
		Do: func() (string, error) {
			root, err := os.OpenRoot(h.Path(dir))
			if err != nil {
				return "", err
			}
			defer root.Close()
			var errs []error
			for _, name := range old {
				errs = append(errs, root.RemoveAll(name))
			}
			return fmt.Sprintf("removed the state of %d earlier boots from %s", len(old), dir), errors.Join(errs...)
		},
	}}
}
