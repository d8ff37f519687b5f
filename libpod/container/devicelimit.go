package container

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/nook-containers/nook/libpod/ocispec"
	"github.com/nook-containers/nook/pkg/cgroups"
	"github.com/nook-containers/nook/pkg/problem"
)

// blockDevices is where the kernel describes block devices by their numbers
// (sysfs(5)).
const blockDevices = "/sys/dev/block"

// ErrPartition is a limit for a part of a disk: the kernel limits whole ones.
var ErrPartition = errors.New("is a partition, and limits are for whole disks")

// wholeDisk returns an ErrPartition if n, the number of path, is one of a
// partition. dir is blockDevices.
func wholeDisk(dir, path string, n ocispec.DeviceNumber) error {
	entry := filepath.Join(dir, fmt.Sprintf("%d:%d", n.Major, n.Minor))
	switch _, err := os.Stat(filepath.Join(entry, "partition")); {
	case errors.Is(err, fs.ErrNotExist): // the kernel says it, if there is no sysfs
		return nil
	case err != nil:
		return err
	}
	err := fmt.Errorf("limit of a device: %s: %w", path, ErrPartition)
	target, lerr := os.Readlink(entry) // .../block/DISK/PARTITION
	if lerr != nil {
		return err
	}
	return problem.Hint(err, "name the disk that it is on: /dev/%s", filepath.Base(filepath.Dir(target)))
}

// lifted are writes that undo limits of devices which old has and now has not.
func lifted(old, now []cgroups.Write) []cgroups.Write {
	kept := map[string]bool{}
	for _, w := range now {
		kept[deviceKey(w)] = true
	}
	var undo []cgroups.Write
	for _, w := range old {
		key := deviceKey(w)
		if key == "" || kept[key] {
			continue
		}
		w.Value, w.Optional = key, true
		undo = append(undo, w)
	}
	return undo
}

// deviceKey is the value with which w would set no limit, which tells devices and
// kinds of limits apart; "" if w is about something else.
func deviceKey(w cgroups.Write) string {
	device, value, _ := strings.Cut(w.Value, " ")
	switch w.File {
	case "io.max":
		kind, _, _ := strings.Cut(value, "=")
		return device + " " + kind + "=max"
	case "io.bfq.weight":
		if value != "" {
			return device + " default"
		}
		return ""
	}
	return ""
}
