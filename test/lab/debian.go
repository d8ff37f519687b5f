package lab

import (
	"compress/gzip"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

//go:embed layers.sh
var layersScript string

// Suite is the Debian release of the lab's images.
const Suite = "bookworm"

// keyring signs Suite; the package debian-archive-keyring has it everywhere.
const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// images are the lab's Debian images. Each holds the layers of all before it,
// so together they are one chain of six, and the last is an image of 6 layers.
func images() []image {
	return []image{
		{"debian", v1.Config{Cmd: []string{"bash"}, Env: []string{pathEnv}}},
		{"python3", v1.Config{Cmd: []string{"python3"}, Env: []string{pathEnv}}},
		{"redis", v1.Config{
			Cmd: []string{"redis-server"}, Env: []string{pathEnv}, User: "redis", WorkingDir: "/var/lib/redis",
			ExposedPorts: map[string]struct{}{"6379/tcp": {}},
		}},
		{"nginx", v1.Config{
			Entrypoint: []string{"nginx"}, Cmd: []string{"-g", "daemon off;"}, Env: []string{pathEnv},
			StopSignal: "SIGQUIT", ExposedPorts: map[string]struct{}{"80/tcp": {}},
		}},
		{"postgres", v1.Config{
			Cmd: []string{"postgres"}, User: "postgres", StopSignal: "SIGINT",
			Env: []string{pathEnv + ":/usr/lib/postgresql/15/bin", "PGDATA=/var/lib/postgresql/data"},
		}},
		{"everything", v1.Config{Cmd: []string{"cat", "/srv/index.html"}, Env: []string{pathEnv}, WorkingDir: "/srv"}},
	}
}

const pathEnv = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

type image struct {
	name   string
	config v1.Config
}

// Debian makes a directory with an OCI layout ("images") of real Debian images:
// debian, python3, redis, nginx, postgres and everything, named
// localhost/lab/NAME:latest there. It needs mmdebstrap and a Debian mirror.
func Debian(ctx context.Context) (string, error) {
	if dir, ok := ready("debian"); ok {
		return dir, nil
	}
	return fixture("debian", "4"+Suite+layersScript, func(dir string) (err error) {
		// mmdebstrap's root is a sub-id, which cannot enter a private home.
		tars, err := os.MkdirTemp("/var/tmp", "nook-lab-")
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, RemoveAll(tars)) }()
		if err := os.Chmod(tars, 0o777); err != nil {
			return err
		}
		if err := bootstrap(ctx, tars); err != nil {
			return err
		}
		return writeImages(filepath.Join(dir, "images"), tars)
	})
}

func bootstrap(ctx context.Context, out string) error {
	script := filepath.Join(out, "layers.sh")
	if err := os.WriteFile(script, []byte(layersScript), 0o755); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "mmdebstrap", "--quiet", "--variant=minbase", "--format=null",
		"--keyring="+keyring, "--customize-hook="+script+" "+out+` "$1"`, Suite, "-")
	cmd.Dir = out
	cmd.Env = append(os.Environ(), "TMPDIR=/var/tmp", "LC_ALL=C")
	if msg, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("mmdebstrap: %w\n%s", err, msg)
	}
	return nil
}

func writeImages(dir, tars string) error {
	lp, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	var chain []v1.Layer
	for _, im := range images() {
		l, err := tarball.LayerFromFile(filepath.Join(tars, im.name+".tar"),
			tarball.WithCompressionLevel(gzip.BestSpeed), tarball.WithMediaType(types.OCILayer))
		if err != nil {
			return err
		}
		chain = append(chain, l)
		img, err := newImage(im.config, chain...)
		if err != nil {
			return err
		}
		name := "localhost/lab/" + im.name + ":latest"
		err = lp.AppendImage(img, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": name}))
		if err != nil {
			return fmt.Errorf("write image %s: %w", im.name, err)
		}
	}
	return nil
}
