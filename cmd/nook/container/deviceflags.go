package container

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/syntax"
	"github.com/nook-containers/nook/pkg/oci/seccomp"
)

func (o *createFlags) readDevices(s *spec.Container) error {
	for _, text := range o.devices {
		d, err := syntax.Device(text)
		if err != nil {
			return err
		}
		if _, err := os.Stat(d.Source); filepath.IsAbs(d.Source) && err != nil {
			return fmt.Errorf("device %s: %w", d.Source, errors.Unwrap(err))
		}
		s.Devices = append(s.Devices, d)
	}
	for _, text := range o.gpus {
		gpus, err := syntax.GPUs(text)
		if err != nil {
			return err
		}
		s.Devices = append(s.Devices, gpus...)
	}
	return nil
}

// checkProfile finds mistakes in a seccomp profile before anything is made.
func checkProfile(s *spec.Container, opts []string) error {
	if t := s.Security.Seccomp; t == "" || t == spec.SeccompUnconfined || t == spec.SeccompNested {
		return nil
	}
	parsed, err := seccomp.Parse([]byte(s.Security.Seccomp), nil)
	if err == nil {
		_, err = seccomp.Compile(parsed)
	}
	if err != nil {
		return fmt.Errorf("security option %q: %w", opts[slices.IndexFunc(opts, isSeccomp)], err)
	}
	return nil
}

func isSeccomp(opt string) bool { return strings.HasPrefix(opt, "seccomp") }
