package registry

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"syscall"
)

// session talks to one repository at one endpoint.
type session struct {
	c      *Client
	ep     Endpoint
	client *http.Client // carries requests of the repository, follows redirects
	token  *http.Client // carries requests for tokens, follows none

	authMu sync.Mutex // held while authenticating

	mu      sync.Mutex
	plain   bool // the server speaks plain HTTP
	talked  bool // the server has answered once
	creds   *Credentials
	auth    string    // value of the Authorization header, "" so far
	authBy  challenge // what auth answers
	pinged  bool      // "/v2/" was asked for a challenge
	attempt int       // how often auth was made
}

func newSession(c *Client, ep Endpoint, t *guardedTransport) *session {
	s := &session{c: c, ep: ep}
	s.client = &http.Client{Transport: t, CheckRedirect: s.checkRedirect}
	s.token = &http.Client{Transport: t, CheckRedirect: func(req *http.Request, _ []*http.Request) error {
		return fmt.Errorf("token server redirects to %s, refused", req.URL.Redacted())
	}}
	return s
}

// url is the address of path, which starts with a slash.
func (s *session) url(path string) *url.URL {
	s.mu.Lock()
	defer s.mu.Unlock()
	scheme := "https"
	if s.plain {
		scheme = "http"
	}
	p, query, _ := strings.Cut(path, "?")
	return &url.URL{Scheme: scheme, Host: serverOf(s.ep.Ref.Host), Path: p, RawQuery: query}
}

// repoPath is the address of something in the repository. Its parts come from
// checked references and digests.
func (s *session) repoPath(kind, id string) string {
	return "/v2/" + s.ep.Ref.Path + "/" + kind + "/" + id
}

// send makes one attempt at a GET request: it finds the scheme, answers a
// challenge, and returns any other answer. t watches the time spent waiting.
func (s *session) send(ctx context.Context, path string, h http.Header, t *try) (*http.Response, error) {
	for {
		auth, made := s.authorization()
		resp, err := s.get(ctx, path, h, auth, t)
		if err != nil {
			return nil, err
		}
		again, err := s.answered(ctx, resp, made, t)
		if err != nil {
			drain(resp)
			return nil, err
		}
		if !again {
			return resp, nil
		}
		drain(resp)
	}
}

// get sends one request, over plain HTTP if the server turns out to speak that
// and may.
func (s *session) get(ctx context.Context, path string, h http.Header, auth string, t *try) (*http.Response, error) {
	resp, err := s.getOnce(ctx, path, h, auth, t)
	s.mu.Lock()
	talked, plain := s.talked, s.plain
	s.talked = talked || err == nil
	s.mu.Unlock()
	if err == nil || plain || talked || !s.mayBePlain() || !notTLS(err, s.ep.Ref.Host) {
		return resp, err
	}
	s.setPlain(true)
	plainResp, plainErr := s.getOnce(ctx, path, h, auth, t)
	if plainErr == nil && plainResp.StatusCode != http.StatusBadRequest {
		return plainResp, nil
	}
	s.setPlain(false)
	if plainErr == nil { // it does speak TLS, and says so; the first fault was another
		drain(plainResp)
	}
	return nil, err
}

// setPlain says whether the server speaks plain HTTP, which it has shown if so.
func (s *session) setPlain(plain bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.plain, s.talked = plain, plain
}

func (s *session) getOnce(ctx context.Context, path string, h http.Header, auth string, t *try) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url(path).String(), nil)
	if err != nil {
		return nil, err
	}
	maps.Copy(req.Header, h)
	req.Header.Set("User-Agent", userAgent)
	if auth != "" {
		req.Header.Set("Authorization", auth)
	}
	defer t.arm()()
	return s.client.Do(req)
}

const userAgent = "nook"

// mayBePlain reports whether plain HTTP is allowed: when the user or
// registries.conf said so, and to this machine unless --tls-verify forbids it.
func (s *session) mayBePlain() bool {
	if v := s.c.o.TLSVerify; v != nil && *v {
		return false
	}
	return s.ep.Insecure || isLoopback(s.ep.Ref.Host)
}

// notTLS reports whether err is how a server without TLS answers. A certificate
// that does not verify is not: falling back then would hide an attack.
func notTLS(err error, host string) bool {
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return true
	}
	if errors.Is(err, http.ErrSchemeMismatch) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) {
		return true
	}
	// Without a port the two schemes are two ports.
	return errors.Is(err, syscall.ECONNREFUSED) && !strings.Contains(strings.TrimSuffix(host, "]"), ":")
}

// checkRedirect lets requests for blobs go where the registry keeps them, without
// the credentials.
func (s *session) checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fmt.Errorf("more than %d redirects, the last to %s", maxRedirects, req.URL.Redacted())
	}
	req.Header.Del("Referer") // addresses of blobs are signed
	if req.URL.Host != via[0].URL.Host || req.URL.Scheme != via[0].URL.Scheme {
		req.Header.Del("Authorization")
	}
	return s.checkForeign(req.URL)
}

// checkForeign refuses addresses that a registry must not lead to. Names are
// checked when they are dialled.
func (s *session) checkForeign(u *url.URL) error {
	plain := s.url("/").Scheme == "http"
	if u.Scheme != "https" && (u.Scheme != "http" || !plain && !s.ep.Insecure) {
		return fmt.Errorf("registry leads to %s: want https", u.Redacted())
	}
	if u.Hostname() == "" || u.User != nil {
		return fmt.Errorf("registry leads to %s: want a host and no user", u.Redacted())
	}
	ip, err := netip.ParseAddr(u.Hostname())
	if err == nil && innerAddress(ip) && !isLoopback(s.ep.Ref.Host) && u.Host != serverOf(s.ep.Ref.Host) {
		return fmt.Errorf("%s: %w", u.Redacted(), errInnerAddress)
	}
	return nil
}

func (s *session) authorization() (auth string, made int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.auth, s.attempt
}

// drain reads what is left of a small body, so that the connection can be used
// again, and closes it.
func drain(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, maxErrorBody) // only to reuse the connection
	resp.Body.Close()
}
