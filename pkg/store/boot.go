package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"go.podman.io/storage"
)

// flagBoot is the flag of a volatile container's record that holds the boot it
// was made in. Nothing of such a container is synced, so after a reboot its files
// and even its records are worth nothing; but they lie in the graph root.
const flagBoot = "nook.boot"

// bootMark, in the run root, holds the boot in which firstOpen was last done. The
// run root need not be empty after a reboot, so its being there proves nothing.
const bootMark = "nook.boot"

func kernelBootID() (string, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("read boot id: %w", err)
	}
	return strings.TrimSpace(string(id)), nil
}

// firstOpen reports whether this boot has not seen the store open yet.
func (s *Store) firstOpen() bool {
	id, err := os.ReadFile(filepath.Join(s.o.RunRoot, bootMark))
	return err != nil || string(id) != s.boot
}

// dropUnsynced removes lists that a power cut has spoilt, before they are read:
// those of volatile layers and containers are written without a sync.
func (s *Store) dropUnsynced() error {
	for _, path := range []string{
		filepath.Join(s.o.Root, s.cfg.driver+"-layers", "volatile-layers.json"),
		filepath.Join(s.o.Root, s.cfg.driver+"-containers", "volatile-containers.json"),
	} {
		data, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if len(data) > 0 && !json.Valid(data) {
			if err := os.Remove(path); err != nil {
				return err
			}
		}
	}
	return nil
}

// collectBoot removes what earlier boots left: volatile containers, images that
// are not whole, then files that no record knows.
func (s *Store) collectBoot() error {
	all, err := s.st.Containers()
	if err != nil {
		return err
	}
	for _, c := range all {
		if boot, ok := c.Flags[flagBoot].(string); ok && boot != s.boot {
			if err := s.DeleteContainer(c.ID); err != nil {
				return err
			}
		}
	}
	if err := s.collectHalves(); err != nil {
		return err
	}
	if err := s.st.GarbageCollect(); err != nil {
		return err
	}
	return s.markBoot()
}

// collectHalves deletes every image that is not whole: who made it is of another
// boot.
func (s *Store) collectHalves() error {
	all, err := s.st.Images()
	if err != nil {
		return err
	}
	for i := range all {
		if img := &all[i]; !whole(img) && !img.ReadOnly {
			if _, err := s.st.DeleteImage(img.ID, true); err != nil && !errors.Is(err, storage.ErrImageUsedByContainer) {
				return err
			}
		}
	}
	return nil
}

func (s *Store) markBoot() error {
	f, err := os.CreateTemp(s.o.RunRoot, bootMark+"-")
	if err != nil {
		return err
	}
	_, err = f.WriteString(s.boot)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), filepath.Join(s.o.RunRoot, bootMark))
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
