package oci_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// A container that only waits keeps its namespaces for others, collects orphans in
// its pid namespace, and ends when asked.
func TestPause(t *testing.T) {
	for name, nested := range map[string]bool{"same user namespace": false, "nested user namespace": true} {
		t.Run(name, func(t *testing.T) {
			holder := sh(t, "false")
			holder.cfg.Pause = true
			if nested {
				nest(holder)
			}
			c, out, err := holder.start()
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				end(c)
				if s := out(); s != "" {
					t.Errorf("it says %q", s)
				}
			}()
			// An orphan that ends must be gone; without a reaper it would stay a zombie.
			guest := sh(t, "hostname; (sleep 0.01 & echo $! >/tmp/orphan); while test -e /proc/$(cat /tmp/orphan); do :; done; echo gone; cat /proc/self/uid_map; cat /home/file")
			// What it has mounted is out of reach for who is in the user namespace.
			home := filepath.Join(guest.cfg.Bundle, "closed")
			if err := os.MkdirAll(filepath.Join(home, "dir"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(home, "dir/file"), []byte("open\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			guest.mount(specs.Mount{Destination: "/home", Type: "bind", Source: filepath.Join(home, "dir"), Options: []string{"rbind"}})
			guest.cfg.Spec.Hostname = ""
			join := map[specs.LinuxNamespaceType]string{specs.PIDNamespace: "pid", specs.NetworkNamespace: "net", specs.IPCNamespace: "ipc", specs.UTSNamespace: "uts"}
			if nested {
				nest(guest)
				join[specs.UserNamespace] = "user"
			}
			for i := range guest.cfg.Spec.Linux.Namespaces {
				ns := &guest.cfg.Spec.Linux.Namespaces[i]
				if file := join[ns.Type]; file != "" {
					ns.Path = fmt.Sprintf("/proc/%d/ns/%s", c.PID, file)
				}
			}
			got := guest.output()
			if !strings.HasPrefix(got, "box\ngone\n") || !strings.HasSuffix(got, "open") {
				t.Errorf("got %q", got)
			}
			if nested != strings.Contains(got, "1000          0          1") {
				t.Errorf("wrong id map: %q", got)
			}
			if err := syscall.Kill(c.PID, syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if st, err := c.Wait(); err != nil || !st.Exited() || st.ExitStatus() != 0 {
				t.Errorf("it ends with %#x, %v", st, err)
			}
		})
	}
}
