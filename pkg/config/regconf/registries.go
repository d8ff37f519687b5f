// Package regconf reads how registries are reached, and with what credentials:
// containers-registries.conf(5), containers-auth.json(5), containers-policy.json(5).
package regconf

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"

	"github.com/nook-containers/nook/pkg/config"
	"github.com/nook-containers/nook/pkg/problem"
)

// Short-name modes of containers-registries.conf(5), "short-name-mode".
const (
	ShortNameEnforcing  = "enforcing"  // several search registries are an error
	ShortNamePermissive = "permissive" // the default: all are tried, in order
	ShortNameDisabled   = "disabled"   // the same, said explicitly
)

// AuthFiles is the entry of Registries.CredentialHelpers that stands for the
// credential files instead of a helper program.
const AuthFiles = "containers-auth.json"

// Registries is what containers-registries.conf(5), version 2, and its drop-in
// files say. The zero value is a host without any such file.
type Registries struct {
	// Search lists the registries that a short name is looked for at, in order.
	// Empty: the caller's default, docker.io.
	Search []string
	// SearchFrom is the file that set Search, or "".
	SearchFrom string
	// ShortNameMode is one of the ShortName constants, or "" for permissive.
	ShortNameMode string
	// Aliases maps short names without tag to full names without tag.
	Aliases map[string]string
	// AliasFrom names the file that each alias comes from.
	AliasFrom map[string]string
	// Registries holds the [[registry]] tables, one per prefix.
	Registries []Registry
	// CredentialHelpers are tried in order. Empty: AuthFiles alone.
	CredentialHelpers []string
}

// Registry is one [[registry]] table.
type Registry struct {
	// Prefix selects the images the table is for: host[:port][/path][:tag|@digest],
	// or *.domain. Never empty.
	Prefix string `toml:"prefix"`
	// Location replaces Prefix in the address that is contacted. Empty only with a
	// wildcard prefix, and then nothing is replaced.
	Location string `toml:"location"`
	// Insecure allows plain HTTP and certificates nobody vouches for.
	Insecure bool `toml:"insecure"`
	// Blocked forbids pulling.
	Blocked bool `toml:"blocked"`
	// Mirrors are tried before Location, in order.
	Mirrors []Mirror `toml:"mirror"`
	// MirrorByDigestOnly uses mirrors only for references with a digest.
	MirrorByDigestOnly bool `toml:"mirror-by-digest-only"`
}

// Mirror is one [[registry.mirror]] table.
type Mirror struct {
	Location string `toml:"location"`
	Insecure bool   `toml:"insecure"`
	// PullFromMirror is "all" (also ""), "digest-only" or "tag-only".
	PullFromMirror string `toml:"pull-from-mirror"`
}

// registriesFile is one file as TOML spells it. Pointers tell a key that is
// absent from one that is empty: an empty list in a drop-in clears the list.
type registriesFile struct {
	Search            *[]string         `toml:"unqualified-search-registries"`
	ShortNameMode     string            `toml:"short-name-mode"`
	CredentialHelpers *[]string         `toml:"credential-helpers"`
	Registries        []Registry        `toml:"registry"`
	Aliases           map[string]string `toml:"aliases"`
	V1                map[string]any    `toml:"registries"`
}

// LoadRegistries reads registries.conf and its drop-ins
// (containers-registries.conf.d(5)):
//
//   - $CONTAINERS_REGISTRIES_CONF, else registries.conf below the user's
//     configuration directory, else /etc/containers/registries.conf;
//   - then *.conf of /etc/containers/registries.conf.d and of the user's
//     registries.conf.d, each directory in the order of names, later files first
//     in rank;
//   - then the aliases that tools recorded in short-name-aliases.conf below the
//     user's cache directory, which win.
//
// Missing files are no error, except the one the variable names.
func LoadRegistries() (Registries, error) {
	conf, err := configHome()
	if err != nil {
		return Registries{}, err
	}
	cache, err := xdgDir("XDG_CACHE_HOME", ".cache")
	if err != nil {
		return Registries{}, err
	}
	return registryDirs{
		explicit: os.Getenv("CONTAINERS_REGISTRIES_CONF"),
		system:   "/etc/containers",
		user:     filepath.Join(conf, "containers"),
		aliases:  filepath.Join(cache, "containers", "short-name-aliases.conf"),
	}.load()
}

// registryDirs says where the files are.
type registryDirs struct {
	explicit     string // a file that must exist, or ""
	system, user string // directories of registries.conf and registries.conf.d
	aliases      string // the file of recorded aliases
}

func (d registryDirs) load() (Registries, error) {
	var r Registries
	main, err := d.mainFile()
	if err != nil {
		return r, err
	}
	var files []string
	if main != "" {
		files = append(files, main)
	}
	for _, dir := range []string{d.system, d.user} {
		drop, err := dropIns(filepath.Join(dir, "registries.conf.d"))
		if err != nil {
			return r, err
		}
		files = append(files, drop...)
	}
	for _, f := range append(files, d.aliases) {
		data, err := os.ReadFile(f)
		if errors.Is(err, fs.ErrNotExist) && f != d.explicit {
			continue
		} else if err != nil {
			return r, fmt.Errorf("read registries: %w", err)
		}
		if err := r.merge(f, data); err != nil {
			return r, err
		}
	}
	return r, nil
}

func (d registryDirs) mainFile() (string, error) {
	if d.explicit != "" {
		if _, err := os.Stat(d.explicit); err != nil {
			return "", problem.Hint(fmt.Errorf("read registries: CONTAINERS_REGISTRIES_CONF: %w", err),
				"run: unset CONTAINERS_REGISTRIES_CONF")
		}
		return d.explicit, nil
	}
	for _, dir := range []string{d.user, d.system} {
		f := filepath.Join(dir, "registries.conf")
		if _, err := os.Stat(f); err == nil {
			return f, nil
		}
	}
	return "", nil
}

// dropIns lists the *.conf files of dir by name; no directory, no files.
func dropIns(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir) // sorted
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("read registries: %w", err)
	}
	var files []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".conf") && !e.IsDir() {
			files = append(files, filepath.Join(dir, e.Name()))
		}
	}
	return files, nil
}

// ParseRegistries reads the text of one registries.conf. name stands for the
// file in errors.
func ParseRegistries(name string, data []byte) (Registries, error) {
	var r Registries
	return r, r.merge(name, data)
}

// merge lays one file over what earlier files said.
func (r *Registries) merge(name string, data []byte) error {
	var f registriesFile
	if _, err := toml.Decode(string(data), &f); err != nil {
		return fmt.Errorf("read registries: %s: %w", name, err)
	}
	if f.V1 != nil {
		return problem.Hint(fmt.Errorf("read registries: %s: version 1 of the format ([registries.search]) is not supported", name),
			"write unqualified-search-registries and [[registry]] tables instead: man containers-registries.conf")
	}
	if err := f.check(); err != nil {
		return fmt.Errorf("read registries: %s: %w", name, err)
	}
	if f.Search != nil {
		r.Search, r.SearchFrom = *f.Search, name
	}
	if f.ShortNameMode != "" {
		r.ShortNameMode = f.ShortNameMode
	}
	if f.CredentialHelpers != nil {
		r.CredentialHelpers = *f.CredentialHelpers
	}
	for _, reg := range f.Registries {
		r.put(reg)
	}
	r.alias(name, f.Aliases)
	return nil
}

// put adds reg, or replaces the table of an earlier file with the same prefix.
func (r *Registries) put(reg Registry) {
	same := func(have Registry) bool { return have.Prefix == reg.Prefix }
	if i := slices.IndexFunc(r.Registries, same); i >= 0 {
		r.Registries[i] = reg
		return
	}
	r.Registries = append(r.Registries, reg)
}

// alias adds the aliases of one file; an empty value erases an earlier one.
func (r *Registries) alias(name string, aliases map[string]string) {
	if r.Aliases == nil {
		r.Aliases, r.AliasFrom = map[string]string{}, map[string]string{}
	}
	for short, full := range aliases {
		if full == "" {
			delete(r.Aliases, short)
			delete(r.AliasFrom, short)
			continue
		}
		r.Aliases[short], r.AliasFrom[short] = full, name
	}
}

// check completes the tables of one file and reports every mistake at once.
func (f *registriesFile) check() error {
	var errs []error
	if f.Search != nil {
		for i, s := range *f.Search {
			(*f.Search)[i] = strings.TrimRight(s, "/")
			errs = append(errs, checkLocation("unqualified-search-registries", s))
		}
	}
	switch f.ShortNameMode {
	case "", ShortNameEnforcing, ShortNamePermissive, ShortNameDisabled:
	default:
		errs = append(errs, fmt.Errorf("short-name-mode %q: want enforcing, permissive or disabled", f.ShortNameMode))
	}
	seen := map[string]bool{}
	for i := range f.Registries {
		reg := &f.Registries[i]
		errs = append(errs, reg.check())
		if seen[reg.Prefix] && reg.Prefix != "" {
			errs = append(errs, fmt.Errorf("two [[registry]] tables for prefix %q", reg.Prefix))
		}
		seen[reg.Prefix] = true
	}
	for _, short := range slices.Sorted(maps.Keys(f.Aliases)) {
		errs = append(errs, checkAlias(short, f.Aliases[short]))
	}
	return errors.Join(errs...)
}

func (reg *Registry) check() error {
	reg.Prefix = strings.TrimRight(reg.Prefix, "/")
	reg.Location = strings.TrimRight(reg.Location, "/")
	if reg.Prefix == "" {
		reg.Prefix = reg.Location
	}
	if reg.Prefix == "" {
		return errors.New("[[registry]] has neither prefix nor location")
	}
	wild := strings.HasPrefix(reg.Prefix, "*.")
	if strings.Contains(strings.TrimPrefix(reg.Prefix, "*."), "*") || wild && strings.ContainsAny(reg.Prefix, "/:@") {
		return fmt.Errorf("prefix %q: a wildcard stands only for the first labels of a host, as in *.example.com", reg.Prefix)
	}
	if reg.Location == "" && !wild {
		reg.Location = reg.Prefix
	}
	errs := []error{checkLocation("prefix", strings.TrimPrefix(reg.Prefix, "*.")), nil}
	if reg.Location != "" {
		errs[1] = checkLocation("location", reg.Location)
	}
	for i := range reg.Mirrors {
		errs = append(errs, reg.Mirrors[i].check(reg))
	}
	return errors.Join(errs...)
}

func (m *Mirror) check(reg *Registry) error {
	m.Location = strings.TrimRight(m.Location, "/")
	if m.Location == "" {
		return fmt.Errorf("registry %q: mirror has no location", reg.Prefix)
	}
	switch m.PullFromMirror {
	case "", "all", "digest-only", "tag-only":
	default:
		return fmt.Errorf("mirror %q: pull-from-mirror %q: want all, digest-only or tag-only", m.Location, m.PullFromMirror)
	}
	if m.PullFromMirror != "" && reg.MirrorByDigestOnly {
		return fmt.Errorf("mirror %q: pull-from-mirror and mirror-by-digest-only of %q exclude each other", m.Location, reg.Prefix)
	}
	return checkLocation("mirror location", m.Location)
}

// checkLocation accepts host[:port][/path…].
func checkLocation(key, s string) error {
	if s == "" || strings.Contains(s, "://") || strings.HasPrefix(s, "/") || strings.ContainsAny(s, " \t\r\n?#\\") {
		return fmt.Errorf("%s %q: want host[:port][/path] without a scheme", key, s)
	}
	return nil
}

func checkAlias(short, full string) error {
	first, _, slash := strings.Cut(short, "/")
	if short == "" || strings.ContainsAny(short, ":@") || slash && strings.Contains(first, ".") || first == "localhost" {
		return fmt.Errorf("alias %q: want a short name without host, tag and digest", short)
	}
	if full == "" {
		return nil
	}
	host, path, ok := strings.Cut(full, "/")
	if !ok || !strings.ContainsAny(host, ".:") && host != "localhost" || strings.ContainsAny(path, ":@") {
		return fmt.Errorf("alias %q = %q: want host/name without tag and digest", short, full)
	}
	return nil
}

// configHome is $XDG_CONFIG_HOME, else ~/.config.
func configHome() (string, error) { return xdgDir("XDG_CONFIG_HOME", ".config") }

func xdgDir(variable, below string) (string, error) {
	if dir := os.Getenv(variable); filepath.IsAbs(dir) {
		return dir, nil
	}
	home, err := config.Home()
	if err != nil {
		return "", err
	}
	return filepath.Join(home, below), nil
}
