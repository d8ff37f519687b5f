// Package registrytest is a registry for tests: go-containerregistry's registry in
// memory behind an HTTP server on a loopback address, with faults in between.
//
// A Fault says which requests it is for and what they get instead; faults that
// act a number of times count for all clients together. Every request is
// recorded with what it would have leaked.
package registrytest

import (
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	memory "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Request is what a client sent.
type Request struct {
	Method, Path, Query, Host string
	Header                    http.Header
	Body                      string // of a POST
}

// Server is a registry in this process.
type Server struct {
	Host string // host:port, to put in front of a repository
	URL  string

	server *httptest.Server
	store  http.Handler

	mu     sync.Mutex
	faults []*Fault
	seen   []Request
}

// New starts a registry that speaks plain HTTP; it ends with the test.
func New(t *testing.T) *Server {
	t.Helper()
	return start(t, (*httptest.Server).Start)
}

// NewTLS starts a registry with a certificate that no host trusts. It returns a
// directory with the authority, to be used as a certs.d directory.
func NewTLS(t *testing.T) (s *Server, certDir string) {
	t.Helper()
	s = start(t, (*httptest.Server).StartTLS)
	dir := t.TempDir()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(filepath.Join(dir, "ca.crt"), ca, 0o600); err != nil { //nolint:forbidigo // a test's directory
		t.Fatal(err)
	}
	return s, dir
}

func start(t *testing.T, run func(*httptest.Server)) *Server {
	t.Helper()
	s := &Server{store: memory.New(memory.Logger(log.New(io.Discard, "", 0)))}
	s.server = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	s.server.Config.ErrorLog = log.New(io.Discard, "", 0) // failed handshakes are what tests are about
	run(s.server)
	s.URL = s.server.URL
	_, s.Host, _ = strings.Cut(s.URL, "://")
	t.Cleanup(s.Close)
	return s
}

// Close ends the server, which makes it refuse connections.
func (s *Server) Close() {
	s.Clear() // ends faults that hold requests
	s.server.CloseClientConnections()
	s.server.Close()
}

// Certificate is that of a server with TLS.
func (s *Server) Certificate() *x509.Certificate { return s.server.Certificate() }

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	req := Request{Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery, Host: r.Host, Header: r.Header.Clone()}
	if r.Method == http.MethodPost && r.ParseForm() == nil {
		req.Body = r.PostForm.Encode()
	}
	s.mu.Lock()
	s.seen = append(s.seen, req)
	faults := slices.Clone(s.faults)
	s.mu.Unlock()
	next := s.store
	for _, f := range slices.Backward(faults) {
		next = f.wrap(next)
	}
	next.ServeHTTP(w, r)
}

// Inject adds faults. The first that was added sees a request first.
func (s *Server) Inject(faults ...*Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, faults...)
}

// Clear takes all faults away and ends those that hold requests.
func (s *Server) Clear() {
	s.mu.Lock()
	faults := s.faults
	s.faults = nil
	s.mu.Unlock()
	for _, f := range faults {
		f.end()
	}
}

// Requests returns what clients have sent so far, except the pushes of Push.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

// Count says how many requests had a path with part in it.
func (s *Server) Count(part string) int {
	n := 0
	for _, r := range s.Requests() {
		if strings.Contains(r.Path, part) {
			n++
		}
	}
	return n
}

// Push stores an image or an index as repo[:tag].
func (s *Server) Push(t *testing.T, repo string, what remote.Taggable) {
	t.Helper()
	ref, err := name.ParseReference("registry.test/"+repo, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	opt := remote.WithTransport(direct{s.store})
	switch x := what.(type) {
	case v1.Image:
		err = remote.Write(ref, x, opt)
	case v1.ImageIndex:
		err = remote.WriteIndex(ref, x, opt)
	default:
		err = remote.Put(ref, what, opt)
	}
	if err != nil {
		t.Fatalf("push %s: %v", repo, err)
	}
}

// PutManifest stores any bytes as a manifest.
func (s *Server) PutManifest(t *testing.T, repo, tag, mediaType, body string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPut, "/v2/"+repo+"/manifests/"+tag, strings.NewReader(body))
	r.Header.Set("Content-Type", mediaType)
	w := httptest.NewRecorder()
	s.store.ServeHTTP(w, r)
	if w.Code != http.StatusCreated {
		t.Fatalf("put manifest %s:%s: %d %s", repo, tag, w.Code, w.Body)
	}
}

// direct carries requests to a handler in this process, past faults and records.
type direct struct{ h http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	if r.Body == nil {
		r.Body = http.NoBody
	}
	d.h.ServeHTTP(w, r)
	resp := w.Result()
	resp.Request = r
	return resp, nil
}
