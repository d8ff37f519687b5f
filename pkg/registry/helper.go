package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// maxHelperOutput bounds what is read of a credential helper's answer, in bytes.
const maxHelperOutput = 1 << 20

// RunHelper runs "docker-credential-NAME get" with server on its standard input,
// the protocol of github.com/docker/docker-credential-helpers. Helpers talk to
// the user's session (keyrings over D-Bus check the uid), so this belongs outside
// the user namespace.
func RunHelper(ctx context.Context, name, server string) (user, secret string, err error) {
	if name == "" || strings.ContainsAny(name, "/\\ \t\n\x00") {
		return "", "", fmt.Errorf("credential helper %q: want the end of a program's name", name)
	}
	path, err := exec.LookPath("docker-credential-" + name)
	if err != nil {
		return "", "", ErrNoHelper
	}
	cmd := exec.CommandContext(ctx, path, "get")
	cmd.WaitDelay = 5 * time.Second // for its children, once it is dead itself
	cmd.Stdin = strings.NewReader(server)
	out := &limitedBuffer{max: maxHelperOutput}
	cmd.Stdout = out
	if err := cmd.Run(); err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			return "", "", helperFailure(exit, out.String())
		}
		return "", "", err
	}
	var answer struct{ Username, Secret string }
	if err := json.Unmarshal(out.Bytes(), &answer); err != nil {
		return "", "", errors.New("answer is not JSON") // never the answer itself: it holds the secret
	}
	if answer.Username == "" && answer.Secret == "" {
		return "", "", ErrNoCredentials
	}
	return answer.Username, answer.Secret, nil
}

// helperFailure tells a helper that has nothing from one that does not work. The
// helpers' library prints fixed sentences for the former, on standard output.
func helperFailure(exit *exec.ExitError, out string) error {
	msg := strings.TrimSpace(out)
	switch msg {
	case "credentials not found in native keychain", "no credentials server URL", "no credentials username":
		return ErrNoCredentials
	}
	return fmt.Errorf("%w: %s", exit, printable(msg))
}

// limitedBuffer keeps the first max bytes and refuses more.
type limitedBuffer struct {
	bytes.Buffer
	max int
}

func (b *limitedBuffer) Write(p []byte) (int, error) {
	if b.Len()+len(p) > b.max {
		return 0, errors.New("too much output")
	}
	return b.Buffer.Write(p)
}
