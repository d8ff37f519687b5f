// Command gengolden makes the reference programs of package seccomp's tests: it
// has libseccomp compile every testdata/*.json. Its arguments are what the C
// compiler needs to find libseccomp, for instance "-lseccomp".
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func main() {
	files, err := filepath.Glob("testdata/*.json")
	for _, f := range files {
		for _, goarch := range []string{"amd64", "arm64"} {
			if err == nil {
				err = generate(f, goarch)
			}
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func generate(file, goarch string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var s specs.LinuxSeccomp
	if err := json.Unmarshal(data, &s); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "gengolden")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	src, bin := filepath.Join(dir, "x.c"), filepath.Join(dir, "x")
	if err := os.WriteFile(src, []byte(program(&s, goarch)), 0o600); err != nil {
		return err
	}
	if out, err := exec.Command("cc", append([]string{"-o", bin, src}, os.Args[1:]...)...).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	out, err := exec.Command(bin).Output()
	if err != nil {
		return fmt.Errorf("%s for %s: %w", file, goarch, err)
	}
	return os.WriteFile(strings.TrimSuffix(file, "json")+goarch+".bpf", out, 0o644)
}

func program(s *specs.LinuxSeccomp, goarch string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "#include <seccomp.h>\n#include <stdlib.h>\n#define T(x) if ((x) < 0) exit(__LINE__ %% 250 + 1)\n"+
		"int main(void) {\nscmp_filter_ctx c = seccomp_init(%s);\n", action(s.DefaultAction, s.DefaultErrnoRet))
	mine := map[string][]specs.Arch{
		"amd64": {specs.ArchX86_64, specs.ArchX86, specs.ArchX32},
		"arm64": {specs.ArchAARCH64, specs.ArchARM},
	}[goarch]
	if goarch == "arm64" {
		fmt.Fprintln(&b, "T(seccomp_arch_add(c, SCMP_ARCH_AARCH64)); T(seccomp_arch_remove(c, SCMP_ARCH_NATIVE));")
	}
	for _, a := range s.Architectures {
		for _, m := range mine[1:] {
			if a == m {
				fmt.Fprintf(&b, "T(seccomp_arch_add(c, %s));\n", a)
			}
		}
	}
	for _, sc := range s.Syscalls {
		if action(sc.Action, sc.ErrnoRet) == action(s.DefaultAction, s.DefaultErrnoRet) {
			continue
		}
		for _, name := range sc.Names {
			for _, args := range alternatives(sc.Args) {
				fmt.Fprintf(&b, "{int n = seccomp_syscall_resolve_name(%q); if (n != __NR_SCMP_ERROR) seccomp_rule_add(c, %s, n, %d%s);}\n",
					name, action(sc.Action, sc.ErrnoRet), len(args), list(args))
			}
		}
	}
	return b.String() + "T(seccomp_export_bpf(c, 1));\nreturn 0;\n}\n"
}

func alternatives(args []specs.LinuxSeccompArg) [][]specs.LinuxSeccompArg {
	seen := map[uint]bool{}
	for _, a := range args {
		if seen[a.Index] {
			var all [][]specs.LinuxSeccompArg
			for i := range args {
				all = append(all, args[i:i+1])
			}
			return all
		}
		seen[a.Index] = true
	}
	return [][]specs.LinuxSeccompArg{args}
}

func list(args []specs.LinuxSeccompArg) string {
	var s strings.Builder
	for _, a := range args {
		fmt.Fprintf(&s, ", SCMP_CMP64(%d, %s, %dull, %dull)", a.Index, a.Op, a.Value, a.ValueTwo)
	}
	return s.String()
}

func action(a specs.LinuxSeccompAction, errno *uint) string {
	if a != specs.ActErrno && a != specs.ActTrace {
		return string(a)
	}
	e := uint(1)
	if errno != nil {
		e = *errno
	}
	return fmt.Sprintf("%s(%d)", a, e)
}
