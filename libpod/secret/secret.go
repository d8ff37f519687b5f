// Package secret keeps secrets for containers.
//
// A secret is one file, which its owner alone can read. What it holds depends on
// the driver:
//
//	file   the content
//	env    the name of a variable, which is read each time a container starts
//	shell  commands that store, look up and delete the content elsewhere
//
// The content never is in an argument list: commands get it on standard input, and
// the id in the variable SECRET_ID (podman-secret-create(1), "shell").
package secret

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/statefile"
)

// Errors to match with errors.Is.
var (
	ErrNotFound  = errors.New("no such secret")
	ErrAmbiguous = errors.New("more than one secret has this id prefix")
	ErrExists    = errors.New("name is already in use")
	// ErrSession means that the content is found only where the user's session is:
	// in the environment, or by a command of the user's.
	ErrSession = errors.New("its content is in the user's session only")
)

// Drivers.
const (
	DriverFile  = "file"
	DriverEnv   = "env"
	DriverShell = "shell"
)

// MaxSize bounds a secret, in bytes, as Docker's and podman's.
const MaxSize = 512_000 - 1

// Version is the format of the files.
const Version = 1

const suffix = ".json"

// Secret is one secret.
type Secret struct {
	Version int               `json:"version"`
	ID      string            `json:"id"` // 25 hex digits
	Name    string            `json:"name"`
	Created time.Time         `json:"created"`
	Updated time.Time         `json:"updated"`
	Driver  string            `json:"driver"`
	Options map[string]string `json:"options,omitempty"` // of the driver
	Labels  map[string]string `json:"labels,omitempty"`
	Data    []byte            `json:"data,omitempty"` // of the driver file
}

// Store is a directory of secrets.
type Store struct {
	Dir string
	// Environ is the user's environment, where secrets of the driver env are read
	// and the commands of the driver shell run; nil: neither can be had here.
	Environ []string
}

// CheckName refuses a name that cannot be a file's or be written in --secret.
func CheckName(name string) error {
	switch {
	case name == "" || len(name) > 240:
		return fmt.Errorf("secret %q: a name has 1 to 240 bytes", name)
	case strings.ContainsAny(name, "/,=\x00") || name[0] == '.':
		return fmt.Errorf(`secret %q: a name has no "/", "," or "=" and does not begin with "."`, name)
	}
	return nil
}

func (s Store) path(name string) string { return filepath.Join(s.Dir, name+suffix) }

// Create keeps data as a new secret and gives it its id. With replace a secret of
// the same name gets the new content; its id and time of creation stay.
func (s Store) Create(ctx context.Context, sec *Secret, data []byte, replace bool) error { //nolint:revive // flag-parameter: it is --replace
	if err := sec.check(data); err != nil {
		return err
	}
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return fmt.Errorf("secret %s: %w", sec.Name, err)
	}
	now := time.Now().UTC()
	sec.Version, sec.ID, sec.Created, sec.Updated = Version, newID(), now, now
	old, err := s.load(sec.Name)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	if old != nil && !replace {
		return taken(sec.Name)
	}
	if old != nil {
		sec.ID, sec.Created = old.ID, old.Created
	}
	return s.put(ctx, sec, old, data)
}

// put writes sec in place of old; nil: there is none.
func (s Store) put(ctx context.Context, sec, old *Secret, data []byte) error {
	if sec.Driver == DriverFile {
		sec.Data = data
	}
	if sec.Driver == DriverShell {
		if _, err := s.command(ctx, sec, "store", data); err != nil {
			return err
		}
	}
	write := statefile.Create
	if old != nil {
		write = statefile.Write
	}
	if err := write(s.path(sec.Name), sec); errors.Is(err, fs.ErrExist) {
		return taken(sec.Name) // by another process, meanwhile
	} else if err != nil {
		return fmt.Errorf("secret %s: %w", sec.Name, err)
	}
	if old != nil && old.Driver == DriverShell && sec.Driver != DriverShell {
		_, err := s.command(ctx, old, "delete", nil)
		return err
	}
	return nil
}

func taken(name string) error {
	return problem.Hint(fmt.Errorf("secret %s: %w", name, ErrExists), "run: nook secret rm %s; or add: --replace", name)
}

func (s *Secret) check(data []byte) error {
	if err := CheckName(s.Name); err != nil {
		return err
	}
	known := map[string][]string{DriverFile: nil, DriverEnv: {"name"}, DriverShell: {"store", "lookup", "delete"}}
	want, ok := known[s.Driver]
	if !ok {
		return fmt.Errorf("secret driver %q: want file, env or shell", s.Driver)
	}
	for k := range s.Options {
		if !slices.Contains(want, k) {
			return fmt.Errorf("secret driver %s: has no option %q", s.Driver, k)
		}
	}
	for _, k := range want {
		if s.Options[k] == "" {
			return fmt.Errorf("secret driver %s: needs the option %s: --driver-opts %s=…", s.Driver, k, k)
		}
	}
	if s.Driver != DriverEnv && (len(data) == 0 || len(data) > MaxSize) {
		return fmt.Errorf("secret %s: has %d bytes; 1 to %d work", s.Name, len(data), MaxSize)
	}
	return nil
}

// Data returns the content of a secret.
func (s Store) Data(ctx context.Context, sec *Secret) ([]byte, error) {
	switch sec.Driver {
	case DriverFile:
		return sec.Data, nil
	case DriverEnv:
		if s.Environ == nil {
			return nil, fmt.Errorf("secret %s: %w", sec.Name, ErrSession)
		}
		name := sec.Options["name"]
		for _, e := range s.Environ {
			if k, v, ok := strings.Cut(e, "="); ok && k == name {
				return []byte(v), nil
			}
		}
		return nil, problem.Hint(fmt.Errorf("secret %s: the variable %s is not set", sec.Name, name), "run: export %s=…", name)
	case DriverShell:
		return s.command(ctx, sec, "lookup", nil)
	}
	return nil, fmt.Errorf("secret %s: unknown driver %q", sec.Name, sec.Driver)
}

// command runs one of the driver shell's commands.
func (s Store) command(ctx context.Context, sec *Secret, kind string, in []byte) ([]byte, error) {
	if s.Environ == nil {
		return nil, fmt.Errorf("secret %s: %w", sec.Name, ErrSession)
	}
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", sec.Options[kind])
	cmd.Env = append(slices.Clone(s.Environ), "SECRET_ID="+sec.ID)
	cmd.Stdin = bytes.NewReader(in)
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	if err := cmd.Run(); err != nil {
		said := strings.TrimSpace(log.String())
		if said != "" {
			said = ": " + said
		}
		return nil, fmt.Errorf("secret %s: command %s: %w%s", sec.Name, kind, err, said)
	}
	if out.Len() > MaxSize {
		return nil, fmt.Errorf("secret %s: command %s: wrote more than %d bytes", sec.Name, kind, MaxSize)
	}
	return out.Bytes(), nil
}

// Remove forgets a secret.
func (s Store) Remove(ctx context.Context, sec *Secret) error {
	if sec.Driver == DriverShell {
		if _, err := s.command(ctx, sec, "delete", nil); err != nil {
			return err
		}
	}
	if err := os.Remove(s.path(sec.Name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("secret %s: %w", sec.Name, err)
	}
	return nil
}

// Lookup finds a secret by name, id or unambiguous beginning of its id.
func (s Store) Lookup(nameOrID string) (*Secret, error) {
	if CheckName(nameOrID) == nil {
		if sec, err := s.load(nameOrID); !errors.Is(err, ErrNotFound) {
			return sec, err
		}
	}
	var found *Secret
	all, _ := s.List() // a damaged one has no id to be found by
	for _, sec := range all {
		switch {
		case sec.ID == nameOrID:
			return sec, nil
		case nameOrID == "" || !strings.HasPrefix(sec.ID, nameOrID):
		case found != nil:
			return nil, fmt.Errorf("%s: %w", nameOrID, ErrAmbiguous)
		default:
			found = sec
		}
	}
	if found == nil {
		return nil, problem.Hint(fmt.Errorf("%s: %w", nameOrID, ErrNotFound), "run: nook secret ls")
	}
	return found, nil
}

func (s Store) load(name string) (*Secret, error) {
	sec := &Secret{}
	err := statefile.Read(s.path(name), sec)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", name, ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	return sec, nil
}

// List returns all secrets by name, and beside them an error for each that cannot
// be read.
func (s Store) List() ([]*Secret, []error) {
	entries, err := os.ReadDir(s.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, []error{fmt.Errorf("list secrets: %w", err)}
	}
	var all []*Secret
	var errs []error
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), suffix)
		if !ok || strings.HasPrefix(name, ".") {
			continue
		}
		sec, err := s.load(name)
		switch {
		case errors.Is(err, ErrNotFound): // gone since
		case err != nil:
			errs = append(errs, err)
		default:
			all = append(all, sec)
		}
	}
	return all, errs
}

// Session returns the contents of those named secrets that the engine, which is
// not in the user's session, could not get itself. All must be there.
func (s Store) Session(ctx context.Context, names []string) (map[string][]byte, error) {
	out := map[string][]byte{}
	for _, name := range names {
		sec, err := s.Lookup(name)
		if err != nil {
			return nil, err
		}
		if sec.Driver == DriverFile {
			continue
		}
		if out[name], err = s.Data(ctx, sec); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Public is the secret without its content, to be shown.
func (s *Secret) Public() Secret {
	out := *s
	out.Data, out.Options, out.Labels = nil, maps.Clone(s.Options), maps.Clone(s.Labels)
	return out
}

// newID returns 25 random hex digits, as podman's.
func newID() string {
	b := make([]byte, 13)
	rand.Read(b) // never fails (crypto/rand)
	return hex.EncodeToString(b)[:25]
}
