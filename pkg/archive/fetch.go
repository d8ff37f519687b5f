package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// How long a server may be silent.
const (
	answerTimeout = 30 * time.Second
	stallTimeout  = 60 * time.Second
)

// IsURL reports whether source is something for Fetch.
func IsURL(source string) bool {
	for _, scheme := range []string{"http://", "https://"} {
		if len(source) > len(scheme) && source[:len(scheme)] == scheme {
			return true
		}
	}
	return false
}

// Fetch downloads url into a file in temp that has no name. It gives up when the
// server is silent for a minute.
func Fetch(ctx context.Context, url, temp string) (*os.File, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, ResponseHeaderTimeout: answerTimeout, DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("get %s: server answered %s", url, resp.Status)
	}
	stalled := errors.New("server sent nothing for a minute")
	timer := time.AfterFunc(stallTimeout, func() { cancel(stalled) })
	defer timer.Stop()
	f, err := spool(&watched{resp.Body, timer}, temp)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		if errors.Is(context.Cause(ctx), stalled) {
			err = stalled
		}
		return nil, fmt.Errorf("get %s: %w", url, err)
	}
	return f, nil
}

// watched puts the timer back whenever something comes.
type watched struct {
	r     io.Reader
	timer *time.Timer
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if n > 0 {
		w.timer.Reset(stallTimeout)
	}
	return n, err
}
