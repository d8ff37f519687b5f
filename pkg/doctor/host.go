package doctor

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/nook-containers/nook/pkg/problem/remedy"
	"github.com/nook-containers/nook/pkg/sys"
)

// A Host is what checks see of the machine. The zero value is the machine itself;
// tests put files below a Root and answers in place of the kernel's.
type Host struct {
	Root string   // put before every absolute path; default ""
	Env  []string // KEY=VALUE
	UID  int      // who the user is outside of nook's namespace
	Data string   // where nook keeps what lasts
	Run  string   // where nook keeps what ends with the boot

	Now   func() time.Time                   // default: the clock
	Space func(dir string) (sys.Disk, error) // default: statfs(2)
}

// Path is where the host's file p really is.
func (h *Host) Path(p string) string {
	if h.Root == "" {
		return p
	}
	return filepath.Join(h.Root, p)
}

// Read returns the content of a file without blanks at its ends; "" where there is
// none, or where it can't be read.
func (h *Host) Read(p string) string {
	data, err := os.ReadFile(h.Path(p))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// Exists reports whether there is a file p.
func (h *Host) Exists(p string) bool {
	_, err := os.Lstat(h.Path(p))
	return err == nil
}

// MayOpen reports whether there is a file p, and whether the user may open it to
// read and write. It does not open it: that may set a device going.
func (h *Host) MayOpen(p string) (exists, allowed bool) {
	if !h.Exists(p) {
		return false, false
	}
	allowed, err := sys.MayOpen(h.Path(p))
	return true, allowed && err == nil
}

// Getenv returns a variable of the user's environment.
func (h *Host) Getenv(key string) string {
	for _, e := range h.Env {
		if v, ok := strings.CutPrefix(e, key+"="); ok {
			return v
		}
	}
	return ""
}

// Find returns the path of a program, "" where it is missing.
func (h *Host) Find(name string) string {
	for _, d := range append(filepath.SplitList(h.Getenv("PATH")), "/usr/bin", "/bin") {
		p := filepath.Join(d, name)
		if fi, err := os.Stat(h.Path(p)); filepath.IsAbs(d) && err == nil && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0 {
			return p
		}
	}
	return ""
}

// Distro returns ID and ID_LIKE of os-release(5), for remedy.Install.
func (h *Host) Distro() string { return remedy.Distro(h.OSRelease()) }

// OSRelease reads os-release(5) from the first of its two places.
func (h *Host) OSRelease() string {
	text := h.Read("/etc/os-release")
	if text == "" {
		text = h.Read("/usr/lib/os-release")
	}
	return text
}

// UserName is who UID is in /etc/passwd, else in the environment; "" if unknown.
func (h *Host) UserName() string {
	for line := range strings.Lines(h.Read("/etc/passwd")) {
		if f := strings.Split(line, ":"); len(f) > 2 && f[2] == strconv.Itoa(h.UID) {
			return f[0]
		}
	}
	return h.Getenv("USER")
}

// Nearest is the directory p, or the one above it that exists.
func (h *Host) Nearest(p string) string {
	for p != "/" && p != "." {
		if fi, err := os.Stat(h.Path(p)); err == nil && fi.IsDir() {
			return p
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return p
		}
		p = filepath.Dir(p)
	}
	return p
}

func (h *Host) now() time.Time {
	if h.Now != nil {
		return h.Now()
	}
	return time.Now()
}

func (h *Host) space(dir string) (sys.Disk, error) {
	if h.Space != nil {
		return h.Space(dir)
	}
	return sys.DiskOf(h.Path(dir))
}

// Groups are the groups of this process (proc_pid_status(5)).
func (h *Host) Groups() []uint64 {
	var all []uint64
	for line := range strings.Lines(h.Read("/proc/self/status")) {
		key, list, _ := strings.Cut(line, ":")
		if key != "Gid" && key != "Groups" {
			continue
		}
		for f := range strings.FieldsSeq(list) {
			if n, err := strconv.ParseUint(f, 10, 32); err == nil {
				all = append(all, n)
			}
		}
	}
	return all
}
