// Package config is the only reader of environment variables and files that
// change what nook does.
package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/sys"
)

// These carry the user's ids into processes inside the user namespace, where
// getuid(2) answers 0. The names are containers/storage's.
const (
	hostUIDVar = "_CONTAINERS_ROOTLESS_UID"
	hostGIDVar = "_CONTAINERS_ROOTLESS_GID"
)

// ownPrefix is that of all variables that are for nook's own processes.
const ownPrefix = "_CONTAINERS_"

// Paths says where nook keeps things.
type Paths struct {
	Data string // durable state: $XDG_DATA_HOME/nook, else ~/.local/share/nook
	Run  string // state of this boot: $XDG_RUNTIME_DIR/nook, else Data/run/BOOTID
}

// Load computes the paths from the environment (XDG Base Directory
// Specification). It creates nothing.
func Load() (Paths, error) {
	data, err := dataHome()
	if err != nil {
		return Paths{}, err
	}
	p := Paths{Data: filepath.Join(data, "nook")}
	if p.Run, err = runDir(p.Data); err != nil {
		return Paths{}, err
	}
	return p, nil
}

func dataHome() (string, error) {
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return dir, nil
	}
	home, err := Home()
	if err != nil {
		return "", err
	}
	return filepath.Join(home, ".local", "share"), nil
}

// UserDir returns $XDG_CONFIG_HOME, else ~/.config.
func UserDir() (string, error) {
	if dir := os.Getenv("XDG_CONFIG_HOME"); filepath.IsAbs(dir) {
		return dir, nil
	}
	home, err := Home()
	if err != nil {
		return "", err
	}
	return filepath.Join(home, ".config"), nil
}

// Home returns the user's home directory: $HOME, else the one in /etc/passwd.
func Home() (string, error) {
	if home := os.Getenv("HOME"); filepath.IsAbs(home) {
		return home, nil
	}
	uid := strconv.Itoa(HostUID())
	data, err := os.ReadFile("/etc/passwd")
	if err != nil {
		return "", fmt.Errorf("find home directory: %w", err)
	}
	for line := range strings.Lines(string(data)) {
		if f := strings.Split(strings.TrimSpace(line), ":"); len(f) == 7 && f[2] == uid && filepath.IsAbs(f[5]) {
			return f[5], nil
		}
	}
	return "", problem.Hint(errors.New("find home directory: HOME is not set and /etc/passwd has no entry for uid "+uid),
		"run: export HOME=/path/to/your/home")
}

// HostGID is the user's primary gid outside, as HostUID.
func HostGID() int {
	if gid, err := strconv.Atoi(os.Getenv(hostGIDVar)); err == nil && gid >= 0 {
		return gid
	}
	return os.Getgid()
}

// HostUID is the user's uid outside every user namespace that nook made.
func HostUID() int {
	if uid, err := strconv.Atoi(os.Getenv(hostUIDVar)); err == nil && uid >= 0 {
		return uid
	}
	return os.Getuid()
}

// runDir prefers the session's directory. Without one (su, cron, a container)
// the boot id keeps state of an earlier boot apart; the directory lies below
// data because a name in /tmp could be taken by another user first.
func runDir(data string) (string, error) {
	if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) && WritableDir(dir) {
		return filepath.Join(dir, "nook"), nil
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("read boot id: %w", err)
	}
	return filepath.Join(data, "run", strings.TrimSpace(string(boot))), nil
}

// EngineEnviron is env for a process in the user namespace: without an
// XDG_RUNTIME_DIR that Load found unusable, which libraries there would trip over.
// Where this process is in a namespace that nook made already, it also says who
// the user is outside.
func EngineEnviron(env []string) []string {
	env = slices.Clone(env)
	if dir := os.Getenv("XDG_RUNTIME_DIR"); !filepath.IsAbs(dir) || !WritableDir(dir) {
		env = slices.DeleteFunc(env, func(e string) bool { return strings.HasPrefix(e, "XDG_RUNTIME_DIR=") })
	}
	for _, e := range os.Environ() {
		if strings.HasPrefix(e, ownPrefix) && !strings.HasPrefix(e, unshareVar+"=") {
			env = append(env, e)
		}
	}
	return env
}

// WritableDir reports whether dir is a directory that this process may write
// to; su leaves XDG_RUNTIME_DIR pointing at another user's.
func WritableDir(dir string) bool {
	fi, err := os.Stat(dir)
	return err == nil && fi.IsDir() && sys.Writable(dir)
}

// Environ is the user's environment: this process's without what nook adds for
// its own processes in the user namespace.
func Environ() []string {
	return slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, ownPrefix) })
}
