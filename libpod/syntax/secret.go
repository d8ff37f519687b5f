package syntax

import (
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/nook-containers/nook/libpod/spec"
)

// Secret reads NAME[,type=mount|env,target=…,uid=…,gid=…,mode=…], or source=NAME
// as its first part (podman-run(1), --secret). The default is a file
// /run/secrets/NAME of mode 0444 that belongs to root.
func Secret(text string) (spec.Secret, error) {
	s := spec.Secret{Type: spec.SecretMount}
	file := "" // the last option that only a file can have
	for i, part := range strings.Split(text, ",") {
		key, value, ok := strings.Cut(part, "=")
		if i == 0 && !ok {
			s.Name = part
			continue
		}
		var err error
		switch key {
		case "source", "src":
			s.Name = value
		case "type":
			s.Type = value
		case "target", "dst", "destination":
			s.Target = value
		case "uid":
			s.UID, err = id32(value)
			file = key
		case "gid":
			s.GID, err = id32(value)
			file = key
		case "mode":
			s.Mode, err = octal(value)
			file = key
		default:
			err = fmt.Errorf("unknown option %q", key)
		}
		if err != nil {
			return s, fmt.Errorf("secret %q: %w", text, err)
		}
	}
	if err := completeSecret(&s, file); err != nil {
		return s, fmt.Errorf("secret %q: %w", text, err)
	}
	return s, nil
}

func completeSecret(s *spec.Secret, fileOption string) error {
	if s.Name == "" {
		return errors.New("its name is missing")
	}
	if s.Target == "" {
		s.Target = s.Name
	}
	switch s.Type {
	case spec.SecretEnv:
		if fileOption != "" {
			return fmt.Errorf("%s is for type=mount", fileOption)
		}
		if strings.ContainsAny(s.Target, "=\x00") {
			return fmt.Errorf("%q is no name for a variable", s.Target)
		}
	case spec.SecretMount:
		if !path.IsAbs(s.Target) {
			s.Target = "/run/secrets/" + s.Target
		}
		if s.Target = path.Clean(s.Target); s.Target == "/" || s.Target == "/run/secrets" {
			return fmt.Errorf("target %s is a directory", s.Target)
		}
		if s.Mode == 0 {
			s.Mode = 0o444
		}
	default:
		return fmt.Errorf("type %q: want mount or env", s.Type)
	}
	return nil
}

func id32(text string) (uint32, error) {
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return 0, fmt.Errorf("id %q: want 0 to %d", text, 1<<31-1)
	}
	return uint32(n), nil
}

func octal(text string) (uint32, error) {
	n, err := strconv.ParseUint(text, 8, 32)
	if err != nil || n > 0o777 {
		return 0, fmt.Errorf("mode %q: want octal digits, at most 0777", text)
	}
	return uint32(n), nil
}
