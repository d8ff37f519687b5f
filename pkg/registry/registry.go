// Package registry fetches images over the OCI distribution protocol.
//
// # Theory of operation
//
// A Reference names an image. Endpoints (pure) turns it into the places to ask,
// by registries.conf. Client.Fetch asks them in order and returns an Image, which
// is a v1.Image of go-containerregistry: manifest checked, config and layers
// fetched when they are asked for.
//
// Per endpoint there is a session. It finds out once whether the server speaks
// TLS, answers authentication challenges, and sends a request again after a
// transient fault. A blob is read through blobReader, which verifies digest and
// length while the bytes pass and continues with a Range request where a
// connection broke. Every wait is bounded: a watchdog ends an attempt that makes
// no progress for Options.Stall.
//
// # What a registry cannot do
//
// Everything a registry sends is hostile. Manifests and configs are at most 4 MiB,
// tokens 1 MiB, error bodies 64 KiB. A manifest must be one thing only
// (CVE-2021-41190) and its digests well-formed before any of them becomes part of
// an address (CVE-2024-3727). Credentials go to the registry they are for and to
// the token server it names over TLS, never along a redirect (CVE-2020-15157), and
// a redirect leads to a loopback or link-local address only if the registry itself
// is there; this is checked at connect(2), after names are resolved.
//
// The client is ours and not go-containerregistry's pkg/v1/remote, see
// docs/adr/0005-registry-client.md.
package registry

import (
	"context"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/nook-containers/nook/pkg/config/regconf"
)

// Limits on what a registry may send, in bytes unless said otherwise. Those of
// the first four are the ones of containers/image, so that what can be pulled
// with one tool can be pulled with the other.
const (
	maxManifest  = 4 << 20
	maxConfig    = 4 << 20
	maxToken     = 1 << 20
	maxErrorBody = 64 << 10
	maxTagList   = 16 << 20
	maxLayers    = 1000 // layers of an image
	maxNesting   = 2    // indexes inside an index
	maxRedirects = 5    // of one request
	maxPages     = 1000 // of a tag list
)

// Options configure a Client. The zero value pulls anonymously, with TLS
// verified against the host's certificate authorities.
type Options struct {
	Config   regconf.Registries
	Keychain Keychain

	// CertDir is used instead of the certs.d directories, for every host.
	CertDir string
	// CertDirs lists the certs.d directories of a host. Default regconf.CertDirs.
	CertDirs func(host string) ([]string, error)
	// TLSVerify overrules registries.conf: false allows plain HTTP and any
	// certificate, true forbids both. Nil leaves it to registries.conf.
	TLSVerify *bool

	// Retries is how often a request is sent again after a transient fault. -1 is
	// never; 0 is the default, 3.
	Retries int
	// RetryDelay is the wait before each of them. 0 doubles from 1 s up to 60 s.
	RetryDelay time.Duration
	// Stall ends an attempt that got less than 1 KiB for so long. Default 60 s.
	Stall time.Duration
	// Parallel bounds the blobs that are read at once. Default 6.
	Parallel int

	// Proxy chooses the proxy of a request. Default http.ProxyFromEnvironment.
	Proxy func(*http.Request) (*url.URL, error)
	// Notice is told what the user should know and is no error: a mirror that was
	// passed over, a retry. It may be called from several goroutines. May be nil.
	Notice func(string)
	// Clock is replaced by tests. Default: the real one.
	Clock Clock
}

// Clock is what the client needs of time.
type Clock interface {
	Now() time.Time
	// Sleep waits for d, or returns ctx's error.
	Sleep(ctx context.Context, d time.Duration) error
	// AfterFunc calls f after d unless stop is called first.
	AfterFunc(d time.Duration, f func()) (stop func() bool)
}

type realClock struct{}

func (realClock) Now() time.Time { return time.Now() }

func (realClock) Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (realClock) AfterFunc(d time.Duration, f func()) func() bool {
	return time.AfterFunc(d, f).Stop
}

// Client fetches images. It may be used by several goroutines.
type Client struct {
	o     Options
	slots chan struct{} // one per blob being read

	mu         sync.Mutex
	sessions   map[sessionKey]*session
	transports map[hostKey]*guardedTransport
}

type hostKey struct {
	host     string
	insecure bool
}

type sessionKey struct {
	repo             string
	insecure, mirror bool
}

// New returns a client. Nothing is contacted or read yet.
func New(o Options) *Client {
	if o.Retries == 0 {
		o.Retries = 3
	}
	o.Retries = max(o.Retries, 0)
	if o.Stall <= 0 {
		o.Stall = 60 * time.Second
	}
	if o.Parallel <= 0 {
		o.Parallel = 6
	}
	if o.Proxy == nil {
		o.Proxy = http.ProxyFromEnvironment
	}
	if o.CertDirs == nil {
		o.CertDirs = regconf.CertDirs
	}
	if o.Notice == nil {
		o.Notice = func(string) {}
	}
	if o.Keychain.Notice == nil {
		o.Keychain.Notice = o.Notice
	}
	if o.Clock == nil {
		o.Clock = realClock{}
	}
	return &Client{
		o: o, slots: make(chan struct{}, o.Parallel),
		sessions: map[sessionKey]*session{}, transports: map[hostKey]*guardedTransport{},
	}
}

// Close ends idle connections.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.transports {
		t.CloseIdleConnections()
	}
}

// endpoints applies TLSVerify to what registries.conf says about ref.
func (c *Client) endpoints(ref Reference) ([]Endpoint, error) {
	eps, err := Endpoints(c.o.Config, ref)
	if v := c.o.TLSVerify; v != nil {
		for i := range eps {
			eps[i].Insecure = !*v
		}
	}
	return eps, err
}

// session returns the one session for a repository, so that its token and what
// is known about its server are shared.
func (c *Client) session(ep Endpoint) (*session, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := sessionKey{ep.Ref.Name(), ep.Insecure, ep.Mirror}
	if s := c.sessions[key]; s != nil {
		return s, nil
	}
	hk := hostKey{ep.Ref.Host, ep.Insecure}
	t := c.transports[hk]
	if t == nil {
		var err error
		if t, err = c.newTransport(hk); err != nil {
			return nil, err
		}
		c.transports[hk] = t
	}
	s := newSession(c, ep, t)
	c.sessions[key] = s
	return s, nil
}
