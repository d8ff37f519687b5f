package registry

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Credential helpers must run outside the user namespace, and the client runs
// inside. Between them are two pipes: one line of JSON per question, one per
// answer.

type helperQuestion struct{ Name, Server string }

type helperAnswer struct {
	User, Secret string
	Error        string // "" is success
	Kind         string // "none" or "missing", for the two errors that are values
}

// ServeHelpers answers questions with run until they end or cannot be read.
func ServeHelpers(ctx context.Context, questions io.Reader, answers io.Writer, run HelperFunc) error {
	in, out := json.NewDecoder(bufio.NewReader(questions)), json.NewEncoder(answers)
	for {
		var q helperQuestion
		if err := in.Decode(&q); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("serve credential helpers: %w", err)
		}
		var a helperAnswer
		var err error
		a.User, a.Secret, err = run(ctx, q.Name, q.Server)
		switch {
		case errors.Is(err, ErrNoCredentials):
			a.Kind = "none"
		case errors.Is(err, ErrNoHelper):
			a.Kind = "missing"
		case err != nil:
			a.Error = err.Error()
		}
		if err := out.Encode(a); err != nil {
			return fmt.Errorf("serve credential helpers: %w", err)
		}
	}
}

// AskHelpers returns a HelperFunc that asks the other end of two pipes, which
// ServeHelpers answers.
func AskHelpers(questions io.Writer, answers io.Reader) HelperFunc {
	var mu sync.Mutex
	out, in := json.NewEncoder(questions), json.NewDecoder(answers)
	return func(_ context.Context, name, server string) (string, string, error) {
		mu.Lock()
		defer mu.Unlock()
		if err := out.Encode(helperQuestion{name, server}); err != nil {
			return "", "", fmt.Errorf("ask outside the user namespace: %w", err)
		}
		var a helperAnswer
		if err := in.Decode(&a); err != nil {
			return "", "", fmt.Errorf("ask outside the user namespace: %w", err)
		}
		switch {
		case a.Kind == "none":
			return "", "", ErrNoCredentials
		case a.Kind == "missing":
			return "", "", ErrNoHelper
		case a.Error != "":
			return "", "", errors.New(a.Error)
		}
		return a.User, a.Secret, nil
	}
}
