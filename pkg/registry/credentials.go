package registry

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nook-containers/nook/pkg/config/regconf"
	"github.com/nook-containers/nook/pkg/problem"
)

// Credentials authenticate to one registry. The zero value is nobody.
type Credentials struct {
	Username, Password string
	IdentityToken      string // OAuth2 refresh token, instead of a password
	RegistryToken      string // bearer token to send as it is
	// Source says where they come from, for messages: a file and its key, a
	// helper, or a flag.
	Source string
}

func (c Credentials) empty() bool {
	return c.Username == "" && c.Password == "" && c.IdentityToken == "" && c.RegistryToken == ""
}

// ParseCredentials reads the USER[:PASSWORD] of --creds.
func ParseCredentials(s string) (Credentials, error) {
	user, password, ok := strings.Cut(s, ":")
	if user == "" || !ok || password == "" {
		return Credentials{}, errors.New("credentials: want USER:PASSWORD")
	}
	return Credentials{Username: user, Password: password, Source: "--creds"}, nil
}

// HelperFunc asks a credential helper, the program docker-credential-NAME, for
// what it has for server. It returns ErrNoCredentials if that is nothing and
// ErrNoHelper if there is no such program.
type HelperFunc func(ctx context.Context, name, server string) (user, secret string, err error)

var (
	// ErrNoCredentials is a helper that knows nothing about the server.
	ErrNoCredentials = errors.New("no credentials")
	// ErrNoHelper is a helper that is not installed.
	ErrNoHelper = errors.New("credential helper is not installed")
)

// Keychain finds credentials. The zero value has none.
type Keychain struct {
	// Explicit, from --creds, is used for every primary location and nothing else
	// is asked. Mirrors never get it: they are other people's machines.
	Explicit Credentials
	Files    []regconf.AuthFile // regconf.LoadAuth
	Helpers  []string           // registries.conf: credential-helpers
	Helper   HelperFunc         // nil: RunHelper
	// Notice is told about helpers that are named but not installed. May be nil.
	Notice func(string)
}

// Lookup finds the credentials for an endpoint: Explicit, else the first that
// Files or Helpers have, in their order. Nobody is a valid answer.
func (k Keychain) Lookup(ctx context.Context, ep Endpoint) (Credentials, error) {
	if !k.Explicit.empty() {
		if ep.Mirror {
			return Credentials{}, nil
		}
		return k.Explicit, nil
	}
	helpers := k.Helpers
	if len(helpers) == 0 {
		helpers = []string{regconf.AuthFiles}
	}
	for _, h := range helpers {
		var c Credentials
		var err error
		if h == regconf.AuthFiles {
			c, err = k.fromFiles(ctx, ep.Ref)
		} else {
			c, err = k.ask(ctx, h, ep.Ref.Host)
		}
		if err != nil || !c.empty() {
			return c, err
		}
	}
	return Credentials{}, nil
}

func (k Keychain) fromFiles(ctx context.Context, ref Reference) (Credentials, error) {
	for _, f := range k.Files {
		c, err := k.fromFile(ctx, f, ref)
		if err != nil {
			return c, fmt.Errorf("read credentials: %s: %w", f.Path, err)
		}
		if !c.empty() {
			return c, nil
		}
	}
	return Credentials{}, nil
}

// fromFile looks for the helper of the host or of the repository, then for the
// store of all hosts, then into the file itself.
func (k Keychain) fromFile(ctx context.Context, f regconf.AuthFile, ref Reference) (Credentials, error) {
	keys := authKeys(ref)
	for _, key := range keys {
		if h := f.CredHelpers[key]; h != "" {
			return k.ask(ctx, h, key)
		}
	}
	if f.CredsStore != "" {
		c, err := k.ask(ctx, f.CredsStore, ref.Host)
		if err != nil || !c.empty() {
			return c, err
		}
	}
	for _, key := range keys {
		entry, written, ok := authEntry(f, key)
		if !ok {
			continue
		}
		c, err := decodeEntry(entry)
		if err != nil {
			return c, fmt.Errorf("entry %q: %w", written, err)
		}
		if !c.empty() {
			c.Source = fmt.Sprintf("%s (entry %q)", f.Path, written)
			return c, nil
		}
	}
	return Credentials{}, nil
}

// authKeys lists the keys for ref, the most specific first: host/ns/repo,
// host/ns, host (containers-auth.json(5)).
func authKeys(ref Reference) []string {
	var keys []string
	for name := ref.Name(); ; {
		keys = append(keys, name)
		i := strings.LastIndexByte(name, '/')
		if i < 0 {
			return keys
		}
		name = name[:i]
	}
}

// authEntry finds key among the entries. docker login writes hosts as URLs, and
// Docker Hub under the address of its first API.
func authEntry(f regconf.AuthFile, key string) (entry regconf.AuthEntry, written string, ok bool) {
	if e, ok := f.Auths[key]; ok {
		return e, key, true
	}
	if strings.Contains(key, "/") {
		return entry, "", false
	}
	for _, written := range slices.Sorted(maps.Keys(f.Auths)) {
		if hostOfKey(written) == key {
			return f.Auths[written], written, true
		}
	}
	return entry, "", false
}

// hostOfKey reduces https://HOST/v1/ to HOST, and Docker Hub's names to one. A
// key without a scheme that has a path is for that path alone.
func hostOfKey(key string) string {
	host := key
	for _, scheme := range []string{"https://", "http://"} {
		if rest, ok := strings.CutPrefix(key, scheme); ok {
			host, _, _ = strings.Cut(rest, "/")
		}
	}
	host = strings.TrimSuffix(strings.TrimSuffix(host, "/v1/"), "/v2/")
	if host == "index.docker.io" || host == "registry-1.docker.io" {
		return DockerHub
	}
	return host
}

func decodeEntry(e regconf.AuthEntry) (Credentials, error) {
	c := Credentials{Username: e.Username, Password: e.Password, IdentityToken: e.IdentityToken, RegistryToken: e.RegistryToken}
	if e.Auth == "" {
		return c, nil
	}
	raw, err := base64.StdEncoding.DecodeString(e.Auth)
	if err != nil {
		return Credentials{}, errors.New(`"auth" is not base64`)
	}
	user, password, ok := strings.Cut(string(raw), ":")
	if !ok {
		return Credentials{}, errors.New(`"auth" is not the base64 of USER:PASSWORD`)
	}
	// Docker pads the password with zero bytes in some versions.
	c.Username, c.Password = user, strings.Trim(password, "\x00")
	return c, nil
}

// ask runs a helper. A helper that is not installed must not break pulls that
// need no credentials, so it only causes a notice.
func (k Keychain) ask(ctx context.Context, name, key string) (Credentials, error) {
	run := k.Helper
	if run == nil {
		run = RunHelper
	}
	server := key
	if key == DockerHub {
		server = "https://index.docker.io/v1/" // the name docker login stores it under
	}
	user, secret, err := run(ctx, name, server)
	switch {
	case errors.Is(err, ErrNoCredentials):
		return Credentials{}, nil
	case errors.Is(err, ErrNoHelper):
		if k.Notice != nil {
			k.Notice(fmt.Sprintf("docker-credential-%s is configured for %s but not installed; going on without it", name, key))
		}
		return Credentials{}, nil
	case err != nil:
		return Credentials{}, problem.Hint(fmt.Errorf("ask docker-credential-%s for %s: %w", name, key, err),
			"run: echo %s | docker-credential-%s get", server, name)
	}
	c := Credentials{Username: user, Password: secret, Source: "docker-credential-" + name}
	if user == "<token>" { // protocol of docker-credential-helpers
		c = Credentials{IdentityToken: secret, Source: c.Source}
	}
	return c, nil
}
