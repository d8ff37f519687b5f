package machine

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/nook-containers/nook/test/lab"
)

// WritePayload makes dir the payload of a machine of that kind (Every: a VM), with the scripts
// that Choose finds. It is started in the tree, as the user who may build there;
// program is the nook to test. Images and the system itself are links.
func WritePayload(ctx context.Context, dir, kind, expression, program string) error {
	all, err := ReadScripts("test/script")
	if err != nil {
		return err
	}
	chosen, err := Choose(all, kind, expression)
	if err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	for _, d := range []string{"script", "lab"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return err
		}
	}
	var files [][2]string
	for _, s := range chosen {
		files = append(files, [2]string{"test/script/" + s.Name + ".txtar", "script/" + s.Name + ".txtar"})
	}
	files = append(files, [2]string{program, "nook"}, [2]string{"contrib/systemd/nook-restart.service", "nook-restart.service"},
		[2]string{"contrib/apparmor/nook", "apparmor"})
	for _, f := range files {
		if err := run(ctx, "cp", "-p", f[0], filepath.Join(dir, f[1])); err != nil {
			return err
		}
	}
	if err := run(ctx, "go", "test", "-c", "-o", filepath.Join(dir, "script.test"), "./test"); err != nil {
		return err
	}
	if kind != Sandbox {
		if err := run(ctx, "go", "build", "-o", filepath.Join(dir, "agent"), "./test/vm/agent"); err != nil {
			return err
		}
	}
	return linkFixtures(ctx, dir, kind, chosen)
}

// linkFixtures makes what is missing, and links to it.
func linkFixtures(ctx context.Context, dir, kind string, chosen []Script) error {
	links := map[string]func() (string, error){"lab/busybox": lab.Busybox}
	for _, s := range chosen {
		if slices.Contains(s.Images, "debian") {
			links["lab/debian"] = func() (string, error) { return lab.Debian(ctx) }
		}
		if slices.Contains(s.Images, "registry") {
			links["lab/registry"] = func() (string, error) { return lab.RegistryStore(ctx) }
		}
	}
	links["machine"] = func() (string, error) { return lab.Machine(ctx) }
	if kind != Sandbox {
		links["disk"] = func() (string, error) { return lab.Disk(ctx) }
	}
	for name, mk := range links {
		fixture, err := mk()
		if err != nil {
			return err
		}
		if err := os.Symlink(fixture, filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

func run(ctx context.Context, argv ...string) error {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if msg, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w: %s", argv, err, msg)
	}
	return nil
}
