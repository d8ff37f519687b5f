package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Registry is a docker-registry (the distribution project's server) of our own.
type Registry struct {
	Addr string // 127.0.0.1:PORT
	cmd  *exec.Cmd
}

// StartRegistry serves dir on a free loopback port until Stop.
func StartRegistry(ctx context.Context, dir string) (*Registry, error) {
	conf := filepath.Join(dir, "config.yml")
	text := "version: 0.1\nlog: {level: info, formatter: json}\nstorage: {filesystem: {rootdirectory: " + dir + "}}\nhttp: {addr: \"127.0.0.1:0\"}\n"
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "docker-registry", "serve", conf)
	cmd.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%w (package docker-registry)", err)
	}
	r := &Registry{cmd: cmd}
	lines := bufio.NewReader(stderr)
	listening := regexp.MustCompile(`listening on (127\.0\.0\.1:\d+)`)
	var log strings.Builder
	for r.Addr == "" {
		line, err := lines.ReadString('\n')
		log.WriteString(line)
		if m := listening.FindStringSubmatch(line); m != nil {
			r.Addr = m[1]
		} else if err != nil {
			return nil, errors.Join(fmt.Errorf("docker-registry ended: %s", log.String()), r.Stop())
		}
	}
	go func() { _, _ = io.Copy(io.Discard, lines) }() // until it ends
	return r, nil
}

// Stop ends the server.
func (r *Registry) Stop() error {
	if err := r.cmd.Process.Kill(); err != nil {
		return err
	}
	_ = r.cmd.Wait() // says "killed"
	return nil
}

// Push copies every image of the OCI layout at dir to the registry, each under
// the path of its name: localhost/lab/nginx:latest becomes ADDR/lab/nginx:latest.
func (r *Registry) Push(ctx context.Context, dir string) error {
	ix, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return err
	}
	m, err := ix.IndexManifest()
	if err != nil {
		return err
	}
	for _, d := range m.Manifests {
		_, repo, _ := strings.Cut(d.Annotations["org.opencontainers.image.ref.name"], "/")
		ref, err := name.ParseReference(r.Addr + "/" + repo)
		if err != nil {
			return err
		}
		img, err := ix.Image(d.Digest)
		if err != nil {
			return err
		}
		if err := remote.Write(ref, img, remote.WithContext(ctx)); err != nil {
			return fmt.Errorf("push %s: %w", ref, err)
		}
	}
	return nil
}

// RegistryStore makes the storage directory of a registry that has every image
// of the lab, busybox included. Serve a copy or serve it read-only.
func RegistryStore(ctx context.Context) (string, error) {
	if dir, ok := ready("registry"); ok {
		return dir, nil
	}
	debian, err := Debian(ctx)
	if err != nil {
		return "", err
	}
	busybox, err := Busybox()
	if err != nil {
		return "", err
	}
	return fixture("registry", "2"+debian+busybox, func(dir string) error {
		r, err := StartRegistry(ctx, dir)
		if err != nil {
			return err
		}
		return errors.Join(r.Push(ctx, filepath.Join(debian, "images")), r.Push(ctx, filepath.Join(busybox, "busybox-oci")), r.Stop())
	})
}
