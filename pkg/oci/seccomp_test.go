package oci_test

import (
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/nook-containers/nook/pkg/oci/seccomp"
)

// The filter is loaded at another point with no_new_privs than without it.
func TestSeccomp(t *testing.T) {
	for name, nnp := range map[string]bool{"with no_new_privs": true, "without no_new_privs": false} {
		t.Run(name, func(t *testing.T) {
			b := sh(t, "grep -E 'Seccomp:|NoNewPrivs:' /proc/self/status; mkdir /tmp/x; echo $?; unshare -U true; echo $?")
			b.symlink("busybox", "bin/unshare")
			b.cfg.Spec.Process.NoNewPrivileges = nnp
			def, err := seccomp.Default(defaultCaps())
			if err != nil {
				t.Fatal(err)
			}
			nine := uint(9)
			def.Syscalls = append([]specs.LinuxSyscall{
				{Names: []string{"mkdir", "mkdirat"}, Action: specs.ActErrno, ErrnoRet: &nine},
			}, def.Syscalls...)
			b.cfg.Spec.Linux.Seccomp = def
			out := b.output()
			for _, want := range []string{"Seccomp:\t2", "mkdir: can't create directory '/tmp/x': Bad file descriptor", "unshare: unshare(0x10000000): Operation not permitted"} {
				if !strings.Contains(out, want) {
					t.Errorf("no %q in:\n%s", want, out)
				}
			}
			if nnp != strings.Contains(out, "NoNewPrivs:\t1") {
				t.Errorf("no_new_privs should be %v:\n%s", nnp, out)
			}
		})
	}
}
