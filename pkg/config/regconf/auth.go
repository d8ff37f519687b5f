package regconf

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nook-containers/nook/pkg/config"
	"github.com/nook-containers/nook/pkg/problem"
)

// AuthFile is one file of registry credentials: containers-auth.json(5) and
// docker's config.json have the same form.
type AuthFile struct {
	Path string `json:"-"`
	// Auths maps host[/path] to credentials kept in the file itself.
	Auths map[string]AuthEntry `json:"auths"`
	// CredHelpers maps host[/path] to the suffix X of a program docker-credential-X.
	CredHelpers map[string]string `json:"credHelpers"`
	// CredsStore is the suffix of the program that is asked for all other hosts.
	CredsStore string `json:"credsStore"`
}

// AuthEntry is one value of "auths". Docker writes an empty one for a host whose
// credentials are in CredsStore.
type AuthEntry struct {
	Auth          string `json:"auth"` // base64 of user:password
	Username      string `json:"username"`
	Password      string `json:"password"`
	IdentityToken string `json:"identitytoken"`
	RegistryToken string `json:"registrytoken"`
}

// LoadAuth reads the files of registry credentials, the most important first:
// explicit alone if it is set, else $REGISTRY_AUTH_FILE alone, else all of
// $XDG_RUNTIME_DIR/containers/auth.json, containers/auth.json below the user's
// configuration directory, docker's config.json ($DOCKER_CONFIG, else ~/.docker)
// and ~/.dockercfg. Of the latter four, those that do not exist are left out.
func LoadAuth(explicit string) ([]AuthFile, error) {
	if explicit != "" {
		return loadOneAuth(explicit, "--authfile")
	}
	if f := os.Getenv("REGISTRY_AUTH_FILE"); f != "" {
		return loadOneAuth(f, "REGISTRY_AUTH_FILE")
	}
	paths, err := authPaths()
	if err != nil {
		return nil, err
	}
	var files []AuthFile
	for _, p := range paths {
		data, err := os.ReadFile(p)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, fmt.Errorf("read credentials: %w", err)
		}
		f, err := ParseAuth(p, data)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

// PersistentAuthFile is where credentials survive a reboot: containers/auth.json
// below the user's configuration directory.
func PersistentAuthFile() (string, error) {
	conf, err := configHome()
	if err != nil {
		return "", err
	}
	return filepath.Join(conf, "containers", "auth.json"), nil
}

func loadOneAuth(path, from string) ([]AuthFile, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read credentials: %s: %w", from, err)
	}
	f, err := ParseAuth(path, data)
	if err != nil {
		return nil, err
	}
	return []AuthFile{f}, nil
}

func authPaths() ([]string, error) {
	persistent, err := PersistentAuthFile()
	if err != nil {
		return nil, err
	}
	home, err := config.Home()
	if err != nil {
		return nil, err
	}
	var paths []string
	// After su the variable points to a directory of someone else.
	if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) && config.WritableDir(dir) {
		paths = append(paths, filepath.Join(dir, "containers", "auth.json"))
	}
	docker := os.Getenv("DOCKER_CONFIG")
	if docker == "" {
		docker = filepath.Join(home, ".docker")
	}
	return append(paths, persistent, filepath.Join(docker, "config.json"), filepath.Join(home, ".dockercfg")), nil
}

// ParseAuth reads the text of one credential file. A file without "auths",
// "credHelpers" and "credsStore" is taken for the old .dockercfg, which is the
// value of "auths" alone, if its name says so.
func ParseAuth(path string, data []byte) (AuthFile, error) {
	f := AuthFile{Path: path}
	if len(data) == 0 { // podman logout leaves an empty file behind
		return f, nil
	}
	into := any(&f)
	if filepath.Base(path) == ".dockercfg" {
		into = &f.Auths
	}
	if err := json.Unmarshal(data, into); err != nil {
		return AuthFile{}, problem.Hint(fmt.Errorf("read credentials: %s: %w", path, err),
			"repair the file, or pass another with --authfile")
	}
	return f, nil
}

// CertDirs lists the directories that may hold TLS files for host, the most
// important first (containers-certs.d(5)); docker's own comes last.
func CertDirs(host string) ([]string, error) {
	conf, err := configHome()
	if err != nil {
		return nil, err
	}
	return []string{
		filepath.Join(conf, "containers", "certs.d", host),
		filepath.Join("/etc/containers/certs.d", host),
		filepath.Join("/etc/docker/certs.d", host),
	}, nil
}
