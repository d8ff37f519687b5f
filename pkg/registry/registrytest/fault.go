package registrytest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
)

// Match chooses requests.
type Match func(*http.Request) bool

// Manifests matches requests for manifests, by tag or digest.
func Manifests(r *http.Request) bool { return strings.Contains(r.URL.Path, "/manifests/") }

// Blobs matches requests for blobs.
func Blobs(r *http.Request) bool { return strings.Contains(r.URL.Path, "/blobs/") }

// All matches every request.
func All(*http.Request) bool { return true }

// Path matches requests whose path contains part.
func Path(part string) Match {
	return func(r *http.Request) bool { return strings.Contains(r.URL.Path, part) }
}

// Always is a number of times that never ends.
const Always = -1

// Fault changes what some requests get.
type Fault struct {
	match Match
	act   func(w http.ResponseWriter, r *http.Request, next http.Handler)
	held  chan struct{} // receives when a request is held; see Stall
	done  chan struct{} // closed to let them go
	once  sync.Once

	mu    sync.Mutex
	times int
	hits  int
}

// Hits says how often the fault has acted.
func (f *Fault) Hits() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hits
}

func (f *Fault) end() { f.once.Do(func() { close(f.done) }) }

func (f *Fault) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !f.match(r) || !f.take() {
			next.ServeHTTP(w, r)
			return
		}
		f.act(w, r, next)
	})
}

func (f *Fault) take() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.times == 0 {
		return false
	}
	if f.times > 0 {
		f.times--
	}
	f.hits++
	return true
}

// NewFault returns a fault that acts times times on requests that match.
func NewFault(m Match, times int, act func(w http.ResponseWriter, r *http.Request, next http.Handler)) *Fault {
	return &Fault{match: m, times: times, act: act, held: make(chan struct{}, 100), done: make(chan struct{})}
}

// Status answers with an HTTP status and a registry's error body.
func Status(m Match, times, status int, header ...string) *Fault {
	return NewFault(m, times, func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"errors":[{"code":"FAULT","message":"injected %d"}]}`, status)
	})
}

// answer runs next and returns what it would have sent.
func answer(next http.Handler, r *http.Request) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	next.ServeHTTP(rec, r)
	return rec
}

func copyHeader(w http.ResponseWriter, rec *httptest.ResponseRecorder) {
	maps.Copy(w.Header(), rec.Header())
}

// Truncate sends the header and keep bytes of the body, then drops the connection.
func Truncate(m Match, times, keep int) *Fault {
	return NewFault(m, times, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		rec := answer(next, r)
		copyHeader(w, rec)
		body := rec.Body.Bytes()
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(rec.Code)
		_, _ = w.Write(body[:min(keep, len(body))])
		w.(http.Flusher).Flush() //nolint:forcetypeassert // net/http's writer is one
		panic(http.ErrAbortHandler)
	})
}

// Reset drops the connection instead of answering.
func Reset(m Match, times int) *Fault {
	return NewFault(m, times, func(http.ResponseWriter, *http.Request, http.Handler) { panic(http.ErrAbortHandler) })
}

// Rewrite passes the body through change and announces its new length.
func Rewrite(m Match, times int, change func([]byte) []byte) *Fault {
	return NewFault(m, times, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		rec := answer(next, r)
		copyHeader(w, rec)
		body := change(bytes.Clone(rec.Body.Bytes()))
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(rec.Code)
		_, _ = w.Write(body)
	})
}

// Chunked is Rewrite without any length announced.
func Chunked(m Match, times int, change func([]byte) []byte) *Fault {
	return NewFault(m, times, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		rec := answer(next, r)
		copyHeader(w, rec)
		w.Header().Del("Content-Length")
		w.WriteHeader(rec.Code)
		w.(http.Flusher).Flush() //nolint:forcetypeassert // net/http's writer is one
		_, _ = w.Write(change(bytes.Clone(rec.Body.Bytes())))
	})
}

// FlipLastByte changes content without changing its length.
func FlipLastByte(b []byte) []byte {
	if len(b) > 0 {
		b[len(b)-1] ^= 0xff
	}
	return b
}

// Replace answers 200 with a body of its own.
func Replace(m Match, times int, contentType string, body []byte) *Fault {
	return NewFault(m, times, func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body)
	})
}

// Redirect sends requests to base plus their own path.
func Redirect(m Match, times int, base string) *Fault {
	return NewFault(m, times, func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		http.Redirect(w, r, base+r.URL.Path, http.StatusTemporaryRedirect)
	})
}

// Stall sends the header and keep bytes of the body and then nothing more, until
// the client goes away or the faults are cleared.
func Stall(m Match, times, keep int) *Fault {
	var f *Fault
	f = NewFault(m, times, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		rec := answer(next, r)
		copyHeader(w, rec)
		body := rec.Body.Bytes()
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(rec.Code)
		_, _ = w.Write(body[:min(keep, len(body))])
		w.(http.Flusher).Flush() //nolint:forcetypeassert // net/http's writer is one
		f.held <- struct{}{}
		select {
		case <-r.Context().Done():
		case <-f.done:
		}
		panic(http.ErrAbortHandler)
	})
	return f
}

// Held receives once for each request that Stall holds.
func (f *Fault) Held() <-chan struct{} { return f.held }

// Ignore hides a request header from the registry.
func Ignore(m Match, header string) *Fault {
	return NewFault(m, Always, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		r = r.Clone(r.Context())
		r.Header.Del(header)
		next.ServeHTTP(w, r)
	})
}

// Basic wants a user and a password.
func Basic(user, password string) *Fault {
	return NewFault(All, Always, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if u, p, ok := r.BasicAuth(); ok && u == user && p == password {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		unauthorized(w)
	})
}

func unauthorized(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusUnauthorized)
	_ = json.NewEncoder(w).Encode(map[string]any{"errors": []map[string]string{{"code": "UNAUTHORIZED", "message": "authentication required"}}})
}
