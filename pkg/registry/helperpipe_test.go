package registry_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/nook-containers/nook/pkg/registry"
)

func TestHelpersOverPipes(t *testing.T) {
	qr, qw := io.Pipe()
	ar, aw := io.Pipe()
	served := make(chan error, 1)
	go func() {
		served <- registry.ServeHelpers(t.Context(), qr, aw, func(_ context.Context, name, server string) (string, string, error) {
			switch name {
			case "none":
				return "", "", registry.ErrNoCredentials
			case "absent":
				return "", "", registry.ErrNoHelper
			case "broken":
				return "", "", errors.New("locked\nkeyring")
			}
			return name, "secret of " + server, nil
		})
	}()
	ask := registry.AskHelpers(qw, ar)
	if _, _, err := ask(t.Context(), "none", "x"); !errors.Is(err, registry.ErrNoCredentials) {
		t.Errorf("none: %v", err)
	}
	if _, _, err := ask(t.Context(), "absent", "x"); !errors.Is(err, registry.ErrNoHelper) {
		t.Errorf("absent: %v", err)
	}
	if _, _, err := ask(t.Context(), "broken", "x"); err == nil || !strings.Contains(err.Error(), "locked") {
		t.Errorf("broken: %v", err)
	}
	var wg sync.WaitGroup
	for _, server := range []string{"a.example", "b.example", "c.example"} {
		wg.Go(func() {
			if user, secret, err := ask(t.Context(), "h", server); err != nil || user != "h" || secret != "secret of "+server {
				t.Errorf("%s: %q %q %v", server, user, secret, err)
			}
		})
	}
	wg.Wait()
	qw.Close()
	if err := <-served; err != nil {
		t.Errorf("served: %v", err)
	}
	aw.Close()
	if _, _, err := ask(t.Context(), "h", "x"); err == nil {
		t.Error("an answer came from nowhere")
	}
}
