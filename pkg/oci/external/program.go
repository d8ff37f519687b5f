package external

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/nook-containers/nook/pkg/sys/kern"
)

// program is a runtime, as called for one container.
type program struct {
	ctx  context.Context //nolint:containedctx // Process.Start has none
	path string
	root string // the runtime's own state
	dir  string // bundle and log
	id   string
	opts []string // that this runtime needs
}

func newProgram(ctx context.Context, path, stateDir, id string) (*program, error) {
	path, err := exec.LookPath(path)
	if err != nil {
		return nil, fmt.Errorf("runtime: %w", err)
	}
	p := &program{
		ctx: context.WithoutCancel(ctx), path: path, id: id,
		root: filepath.Join(stateDir, "state"), dir: filepath.Join(stateDir, "bundles", id),
	}
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return nil, fmt.Errorf("runtime %s --version: %w", path, err)
	}
	if bytes.HasPrefix(out, []byte("crun")) {
		// It insists on a cgroup of its own unless told not to, and fails on a
		// hybrid hierarchy.
		p.opts = []string{"--cgroup-manager", "disabled"}
	}
	return p, nil
}

func (p *program) log() string { return filepath.Join(p.dir, "log") }

func (p *program) command(ctx context.Context, args ...string) *exec.Cmd {
	all := append([]string{"--root", p.root, "--log", p.log(), "--log-format", "json"}, p.opts...)
	return exec.CommandContext(ctx, p.path, append(all, args...)...)
}

// run runs the command and makes an error of its log.
func (p *program) run(cmd *exec.Cmd) error {
	err := runUnified(cmd)
	if err == nil {
		return nil
	}
	verb := p.verb(cmd)
	if said := p.lastError(); said != "" {
		return fmt.Errorf("runtime %s: %s: %s", p.path, verb, said)
	}
	return fmt.Errorf("runtime %s: %s: %w", p.path, verb, err)
}

// lastError returns the newest error in the log, or "".
func (p *program) lastError() string {
	f, err := os.Open(p.log())
	if err != nil {
		return ""
	}
	defer f.Close()
	said := ""
	for s := bufio.NewScanner(f); s.Scan(); {
		var line struct{ Level, Msg string }
		if json.Unmarshal(s.Bytes(), &line) == nil && line.Level == "error" {
			said = strings.TrimSpace(line.Msg)
		}
	}
	return said
}

// discard removes a container, dead or alive, and its bundle.
func (p *program) discard(ctx context.Context) error {
	if _, err := os.Lstat(p.dir); isMissing(err) {
		return nil
	}
	var errs []error
	if _, err := os.Lstat(filepath.Join(p.root, p.id)); err == nil {
		errs = append(errs, p.run(p.command(ctx, "delete", "--force", p.id)))
	}
	mounts, err := filepath.Glob(filepath.Join(p.dir, "mount*"))
	if err != nil {
		return err
	}
	for _, at := range append(mounts, filepath.Join(p.dir, "rootfs")) {
		if err := kern.Detach(at); err != nil {
			return errors.Join(append(errs, err)...) // what is mounted there must not be deleted
		}
	}
	return errors.Join(append(errs, os.RemoveAll(p.dir))...)
}

// verb returns the word after the global options.
func (p *program) verb(cmd *exec.Cmd) string { return cmd.Args[len(p.command(p.ctx).Args)] }
