// Package bundle reads OCI bundles from disk.
package bundle

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// configName is the file every bundle has, and maxConfig its largest size in
// bytes: more than any argument list and mount table can need.
const (
	configName = "config.json"
	maxConfig  = 16 << 20
)

// Load reads the config.json of the bundle dir. Properties that the runtime spec
// does not know are skipped, as it demands.
func Load(dir string) (*specs.Spec, error) { return Read(filepath.Join(dir, configName)) }

// Read reads a config.json.
func Read(path string) (*specs.Spec, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() {
		return nil, fmt.Errorf("read %s: not a regular file", path)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxConfig {
		return nil, fmt.Errorf("read %s: more than %d bytes", path, maxConfig)
	}
	s, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return s, nil
}

// Parse reads the content of a config.json.
func Parse(data []byte) (*specs.Spec, error) {
	var s specs.Spec
	if err := json.Unmarshal(data, &s); err != nil {
		if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return nil, fmt.Errorf("%s: is a %s where a %s is wanted", e.Field, e.Value, e.Type)
		}
		return nil, err
	}
	return &s, nil
}

// Write makes dir a bundle with the given config.json, which must not be there
// yet.
func Write(dir string, config []byte) error {
	f, err := os.OpenFile(filepath.Join(dir, configName), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(config)
	return errors.Join(err, f.Close())
}
