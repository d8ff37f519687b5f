package registry

import (
	"errors"
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/nook-containers/nook/pkg/problem"
)

// DockerHub is the host part of names at Docker Hub. Requests go to another
// host, see endpointHost.
const DockerHub = "docker.io"

// ErrReference is a name that the grammar of image names does not allow.
var ErrReference = errors.New("invalid image name")

const (
	maxNameLength = 255 // host and path together: distribution's reference grammar
	maxTagLength  = 128
	defaultTag    = "latest"
)

// Reference names an image. Short names have no Host and cannot be pulled; see
// Names. The grammar is that of distribution's reference package and of the OCI
// distribution specification, "Pulling manifests".
type Reference struct {
	Host   string // host[:port], or "" in a short name
	Path   string // repository below Host, lower case, never empty
	Tag    string // "" when none was given
	Digest string // sha256:… or sha512:…, or ""
}

// ParseReference splits [host/]path[:tag][@digest]. The first component is a
// host if it holds a dot or a colon, is "localhost" or has a capital letter, as
// Docker decides it. Names at Docker Hub come back complete: docker.io/busybox
// and index.docker.io/busybox give docker.io/library/busybox.
func ParseReference(s string) (Reference, error) {
	ref, err := parseReference(s)
	if err != nil {
		return Reference{}, fmt.Errorf("%w %q: %w", ErrReference, s, err)
	}
	return ref, nil
}

func parseReference(s string) (Reference, error) {
	var ref Reference
	name, digest, hasDigest := strings.Cut(s, "@")
	if hasDigest {
		if _, err := v1.NewHash(digest); err != nil {
			return ref, fmt.Errorf("digest %q: want sha256: and 64 hexadecimal digits, or sha512: and 128", digest)
		}
		ref.Digest = digest
	}
	if i := strings.LastIndexByte(name, ':'); i >= 0 && !strings.Contains(name[i:], "/") {
		name, ref.Tag = name[:i], name[i+1:]
		if !validTag(ref.Tag) {
			return ref, fmt.Errorf("tag %q: want up to %d letters, digits, '_', '.' and '-', not starting with '.' or '-'", ref.Tag, maxTagLength)
		}
	}
	ref.Path = name
	if first, rest, ok := strings.Cut(name, "/"); ok && isHost(first) {
		ref.Host, ref.Path = first, rest
		if !validHost(first) {
			return ref, fmt.Errorf("host %q: want letters, digits, '-' and '.', then perhaps a colon and a port", first)
		}
	}
	if err := checkPath(ref.Path); err != nil {
		return ref, err
	}
	if len(ref.Name()) > maxNameLength {
		return ref, fmt.Errorf("name is longer than %d bytes", maxNameLength)
	}
	return ref.hub(), nil
}

// hub completes names at Docker Hub.
func (r Reference) hub() Reference {
	if r.Host == "index.docker.io" || r.Host == "registry-1.docker.io" {
		r.Host = DockerHub
	}
	if r.Host == DockerHub && !strings.Contains(r.Path, "/") {
		r.Path = "library/" + r.Path
	}
	return r
}

// At returns the short name r as the name of an image below prefix, which is
// host[:port][/path].
func (r Reference) At(prefix string) (Reference, error) {
	s := strings.TrimRight(prefix, "/") + "/" + r.String()
	return ParseReference(s)
}

// WithDefaultTag returns r with the tag "latest" if it has neither tag nor digest.
func (r Reference) WithDefaultTag() Reference {
	if r.Tag == "" && r.Digest == "" {
		r.Tag = defaultTag
	}
	return r
}

// Name is the reference without tag and digest.
func (r Reference) Name() string {
	if r.Host == "" {
		return r.Path
	}
	return r.Host + "/" + r.Path
}

func (r Reference) String() string {
	s := r.Name()
	if r.Tag != "" {
		s += ":" + r.Tag
	}
	if r.Digest != "" {
		s += "@" + r.Digest
	}
	return s
}

// identifier is what the manifest is asked for by: the digest wins over the tag.
func (r Reference) identifier() string {
	if r.Digest != "" {
		return r.Digest
	}
	return r.WithDefaultTag().Tag
}

// TrimTransport takes the transport prefix off the name of an image to pull.
// Only docker://, the distribution protocol, can be pulled; other transports of
// containers-transports(5) are files that "nook load" reads.
func TrimTransport(s string) (string, error) {
	if rest, ok := strings.CutPrefix(s, "docker://"); ok {
		return rest, nil
	}
	for _, t := range []string{"oci", "oci-archive", "docker-archive", "dir", "containers-storage", "docker-daemon", "sif", "ostree", "tarball"} {
		rest, ok := strings.CutPrefix(s, t+":")
		if !ok || !looksLocal(t, rest) {
			continue
		}
		err := fmt.Errorf("pull %s: transport %q is not a registry", s, t)
		path, _, _ := strings.Cut(rest, ":")
		switch t {
		case "oci", "oci-archive", "docker-archive":
			return "", problem.Hint(err, "run: nook load -i %s", path)
		}
		return "", problem.Hint(err, "give a name at a registry, as in docker.io/library/busybox")
	}
	if transport, rest, ok := strings.Cut(s, "://"); ok {
		return "", problem.Hint(fmt.Errorf("%w %q: unknown transport %q", ErrReference, s, transport), "run: nook pull %s", rest)
	}
	return s, nil
}

// looksLocal tells the transport oci:PATH from an image named oci with a tag. A
// word that is a valid tag is one, except after the names nobody's image has.
func looksLocal(transport, rest string) bool {
	return strings.Contains(transport, "-") || !validTag(rest)
}

func isHost(s string) bool {
	return strings.ContainsAny(s, ".:") || s == "localhost" || s != strings.ToLower(s)
}

// validHost accepts dns[:port], ipv4[:port] and [ipv6][:port].
func validHost(s string) bool {
	host, port := s, ""
	if i := strings.LastIndexByte(s, ':'); i >= 0 && !strings.HasSuffix(s, "]") {
		host, port = s[:i], s[i+1:]
		if port == "" || len(port) > 5 || strings.Trim(port, "0123456789") != "" {
			return false
		}
	}
	if v6, ok := strings.CutPrefix(host, "["); ok {
		v6, ok = strings.CutSuffix(v6, "]")
		return ok && strings.Contains(v6, ":") && strings.Trim(v6, "0123456789abcdefABCDEF:") == ""
	}
	for label := range strings.SplitSeq(host, ".") {
		if !validLabel(label) {
			return false
		}
	}
	return true
}

func validLabel(s string) bool {
	if s == "" || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for _, c := range []byte(s) {
		if !alnum(c) && (c < 'A' || c > 'Z') && c != '-' {
			return false
		}
	}
	return true
}

func validTag(s string) bool {
	if s == "" || len(s) > maxTagLength || s[0] == '.' || s[0] == '-' {
		return false
	}
	for _, c := range []byte(s) {
		if !alnum(c) && (c < 'A' || c > 'Z') && c != '_' && c != '.' && c != '-' {
			return false
		}
	}
	return true
}

func checkPath(path string) error {
	if path == "" {
		return errors.New("name is empty")
	}
	for part := range strings.SplitSeq(path, "/") {
		if !validComponent(part) {
			if part != strings.ToLower(part) {
				return fmt.Errorf("%q has capital letters, which the path of an image must not have", part)
			}
			return fmt.Errorf("%q: want lower-case letters and digits, separated by single '.', '_', '__' or any number of '-'", part)
		}
	}
	return nil
}

// validComponent matches [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*.
func validComponent(s string) bool {
	for {
		n := 0
		for n < len(s) && alnum(s[n]) {
			n++
		}
		if n == 0 {
			return false
		}
		if s = s[n:]; s == "" {
			return true
		}
		switch {
		case s[0] == '-':
			s = strings.TrimLeft(s, "-")
		case strings.HasPrefix(s, "__"):
			s = s[2:]
		case s[0] == '.' || s[0] == '_':
			s = s[1:]
		default:
			return false
		}
	}
}

func alnum(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }
