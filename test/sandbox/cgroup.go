package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// makeCgroup makes a cgroup for one sandbox at the top of the v2 hierarchy,
// where a systemd of the host has enabled the controllers.
func makeCgroup(name string) (string, error) {
	top, err := cgroup2()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(top, name)
	return dir, os.Mkdir(dir, 0o755)
}

// sweepCgroup removes the cgroup of a sandbox whose tests were killed, and process 1
// with them.
func sweepCgroup(name string) error {
	top, err := cgroup2()
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(top, name)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return removeCgroup(filepath.Join(top, name))
}

// cgroup2 returns where the host has mounted the v2 hierarchy, alone or beside v1.
func cgroup2() (string, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(data)) {
		before, after, _ := strings.Cut(line, " - ")
		if f := strings.Fields(before); len(f) > 4 && strings.HasPrefix(after, "cgroup2 ") {
			return f[4], nil
		}
	}
	return "", errors.New("no cgroup2 is mounted: mount -t cgroup2 cgroup2 /sys/fs/cgroup")
}

// removeCgroup removes a cgroup with all below it. Process 1 has ended; what is
// left of its children is being torn down.
func removeCgroup(dir string) error {
	if err := os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0o644); err != nil {
		return fmt.Errorf("remove cgroup: %w", err)
	}
	var err error
	for range 100 {
		if err = removeDirs(dir); err == nil {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("remove cgroup: %w", err)
}

func removeDirs(dir string) error {
	var dirs []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, p)
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, d := range slices.Backward(dirs) {
		if err := os.Remove(d); err != nil {
			return err
		}
	}
	return nil
}
