package lab

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// BusyboxName is the name that the busybox image carries in its archive: what
// the short name "busybox" means on most hosts.
const BusyboxName = "docker.io/library/busybox:latest"

// Busybox makes a directory with one image in the forms that users have:
//
//	busybox.tar      what "docker save" writes (.gz, .zst and .xz beside it)
//	busybox-oci.tar  an OCI layout in a tar archive
//	busybox-oci/     an OCI layout
//	rootfs.tar       its only layer, a plain root file system
//
// The image is /bin/busybox of the distribution's busybox-static package, with
// its applets, and the users root, web (1000:1000, also in group 2000 "files")
// and nobody.
func Busybox() (string, error) {
	if dir, ok := ready("busybox"); ok {
		return dir, nil
	}
	program, err := staticBusybox()
	if err != nil {
		return "", err
	}
	applets, err := exec.Command(program, "--list").Output()
	if err != nil {
		return "", fmt.Errorf("list applets of %s: %w", program, err)
	}
	content, err := os.ReadFile(program)
	if err != nil {
		return "", err
	}
	layer, err := busyboxLayer(content, strings.Fields(string(applets)))
	if err != nil {
		return "", err
	}
	return fixture("busybox", "3"+string(layer), func(dir string) error {
		return writeBusybox(dir, layer)
	})
}

// staticBusybox finds a busybox that runs without the host's libraries.
func staticBusybox() (string, error) {
	for _, p := range []string{"/bin/busybox", "/bin/busybox.static", "/usr/bin/busybox", "/usr/sbin/busybox", "/sbin/busybox"} {
		f, err := elf.Open(p)
		if err != nil {
			continue
		}
		libs, err := f.ImportedLibraries()
		f.Close()
		if err == nil && len(libs) == 0 {
			return p, nil
		}
	}
	return "", errors.New("no static busybox: install the package busybox-static (Fedora: busybox)")
}

// epoch is the time of everything in the image: the same input gives the same
// digest.
var epoch = time.Unix(1700000000, 0).UTC()

func busyboxLayer(program []byte, applets []string) ([]byte, error) {
	var out bytes.Buffer
	tw := tar.NewWriter(&out)
	add := func(h *tar.Header, content []byte) error {
		h.ModTime, h.Size, h.Format = epoch, int64(len(content)), tar.FormatPAX
		if err := tw.WriteHeader(h); err != nil {
			return err
		}
		_, err := tw.Write(content)
		return err
	}
	var errs []error
	dir := func(name string, mode int64, uid int) {
		errs = append(errs, add(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: mode, Uid: uid, Gid: uid}, nil))
	}
	file := func(name string, mode int64, content []byte) {
		errs = append(errs, add(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode}, content))
	}
	for _, d := range []string{"bin", "dev", "etc", "home", "proc", "srv", "sys", "usr", "usr/bin", "usr/sbin", "var"} {
		dir(d, 0o755, 0)
	}
	dir("root", 0o700, 0)
	dir("home/web", 0o755, 1000)
	dir("tmp", 0o1777, 0)
	dir("var/tmp", 0o1777, 0)
	file("bin/busybox", 0o755, program)
	for _, a := range applets {
		if a = path.Base(a); a != "busybox" {
			errs = append(errs, add(&tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/" + a, Linkname: "busybox", Mode: 0o777}, nil))
		}
	}
	file("etc/passwd", 0o644, []byte("root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1000:web:/home/web:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"))
	file("etc/group", 0o644, []byte("root:x:0:\nweb:x:1000:\nfiles:x:2000:web\nnogroup:x:65534:\n"))
	file("etc/plain", 0o644, []byte("not a program\n"))
	errs = append(errs,
		add(&tar.Header{Typeflag: tar.TypeSymlink, Name: "escape", Linkname: "/../../../../../../var/tmp", Mode: 0o777}, nil),
		tw.Close())
	return out.Bytes(), errors.Join(errs...)
}

// newImage puts layers below a config. Everything in it has a fixed date.
func newImage(config v1.Config, layers ...v1.Layer) (v1.Image, error) {
	img := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	img = mutate.ConfigMediaType(img, types.OCIConfigJSON)
	cf, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	cf = cf.DeepCopy()
	cf.OS, cf.Architecture, cf.Config = "linux", runtime.GOARCH, config
	cf.Created = v1.Time{Time: epoch}
	if img, err = mutate.ConfigFile(img, cf); err != nil {
		return nil, err
	}
	for i, l := range layers {
		img, err = mutate.Append(img, mutate.Addendum{Layer: l, History: v1.History{
			Created: v1.Time{Time: epoch}, CreatedBy: fmt.Sprintf("lab layer %d", i+1),
		}, MediaType: types.OCILayer})
		if err != nil {
			return nil, err
		}
	}
	return img, nil
}

func writeBusybox(dir string, layer []byte) error {
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(layer)), nil })
	if err != nil {
		return err
	}
	img, err := newImage(v1.Config{
		Cmd: []string{"sh"}, Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		Labels: map[string]string{"lab": "busybox"},
	}, l)
	if err != nil {
		return err
	}
	tag, err := name.NewTag(BusyboxName)
	if err != nil {
		return err
	}
	archive := filepath.Join(dir, "busybox.tar")
	if err := tarball.WriteToFile(archive, tag, img); err != nil {
		return err
	}
	for suffix, tool := range map[string][]string{
		"gz": {"gzip", "-1nc"}, "zst": {"zstd", "-1qc"}, "xz": {"xz", "-0c"},
	} {
		out, err := exec.Command(tool[0], append(tool[1:], archive)...).Output()
		if err != nil {
			return fmt.Errorf("%v: %w", tool, err)
		}
		if err := os.WriteFile(archive+"."+suffix, out, 0o644); err != nil {
			return err
		}
	}
	ociDir := filepath.Join(dir, "busybox-oci")
	lp, err := layout.Write(ociDir, empty.Index)
	if err != nil {
		return err
	}
	err = lp.AppendImage(img, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": BusyboxName}))
	if err != nil {
		return err
	}
	if out, err := exec.Command("tar", "-C", ociDir, "-cf", filepath.Join(dir, "busybox-oci.tar"), ".").CombinedOutput(); err != nil {
		return fmt.Errorf("tar: %w: %s", err, out)
	}
	return os.WriteFile(filepath.Join(dir, "rootfs.tar"), layer, 0o644)
}
