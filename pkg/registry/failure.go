package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"
)

// ErrNotFound is an image, or a part of one, that the registry does not have.
var ErrNotFound = errors.New("not found")

// errStalled ends an attempt that made no progress.
var errStalled = errors.New("no progress")

// StatusError is an HTTP answer that is not the one that was asked for.
type StatusError struct {
	Status  int
	URL     string // without query, which may be signed
	Message string // what the registry says, made printable

	after time.Duration // Retry-After, 0 if there was none
}

func (e *StatusError) Error() string {
	s := fmt.Sprintf("GET %s: %d %s", e.URL, e.Status, http.StatusText(e.Status))
	if e.Message != "" {
		s += ": " + e.Message
	}
	return s
}

// Is makes a 404 an ErrNotFound.
func (e *StatusError) Is(target error) bool {
	return target == ErrNotFound && e.Status == http.StatusNotFound
}

// readFailure reads the body of an answer that is a failure (distribution
// specification, "Error Codes").
func readFailure(resp *http.Response) *StatusError {
	u := *resp.Request.URL
	u.RawQuery, u.User = "", nil
	e := &StatusError{Status: resp.StatusCode, URL: u.String()}
	if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && n > 0 {
		e.after = time.Duration(min(n, math.MaxInt32)) * time.Second // it does not fit in more
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	if err != nil {
		return e // the status says enough
	}
	var answer struct {
		Errors  []struct{ Code, Message string }
		Details string // token servers
		Message string
	}
	if json.Unmarshal(body, &answer) == nil {
		var parts []string
		for _, x := range answer.Errors {
			parts = append(parts, strings.Trim(x.Code+": "+x.Message, ": "))
		}
		parts = append(parts, answer.Details, answer.Message)
		e.Message = printable(strings.Trim(strings.Join(parts, "; "), "; "))
	}
	return e
}

// printable makes foreign text safe to show on a terminal, and short.
func printable(s string) string {
	const most = 300
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// readCapped reads all of r, at most limit bytes.
func readCapped(r io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("answer is larger than %d KiB", limit>>10)
	}
	return data, err
}

// transient reports whether err may be gone when the request is sent again.
// talked is whether this server has answered before: then a refused connection is
// a restart and not a wrong address.
func transient(err error, talked bool) bool {
	if e, ok := errors.AsType[*StatusError](err); ok {
		switch e.Status {
		case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
			http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return true
		}
		return false
	}
	if errors.Is(err, context.Canceled) {
		return false
	}
	for _, target := range []error{
		errStalled, io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.ECONNABORTED, syscall.EPIPE,
		syscall.ETIMEDOUT, syscall.ENETDOWN, syscall.ENETUNREACH, syscall.ENETRESET, syscall.EHOSTUNREACH,
	} {
		if errors.Is(err, target) {
			return true
		}
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return talked
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return dns.IsTemporary || dns.IsTimeout
	}
	if n, ok := errors.AsType[net.Error](err); ok && n.Timeout() {
		return true
	}
	// net/http keeps the types of HTTP/2 failures (GOAWAY, RST_STREAM) to itself.
	msg := err.Error()
	return strings.Contains(msg, "http2: ") || strings.Contains(msg, "stream error: ")
}
