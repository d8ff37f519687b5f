package seccomp

import (
	"bytes"
	"flag"
	"os"
	"runtime"
	"slices"
	"testing"
)

var update = flag.Bool("update", false, "make the program that is compiled ahead again")

// The default profile changes with its module, the compiler with this package: what was
// made ahead must be what they make today.
func TestAhead(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		if f := Ahead(usual[:]); f != nil {
			t.Error("there is a program for another machine")
		}
		return
	}
	s, err := Default(usual[:])
	if err != nil {
		t.Fatal(err)
	}
	want, err := Compile(s)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("zdefault.amd64.bpf", want.Program, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got := Ahead(usual[:])
	if got == nil || !bytes.Equal(got.Program, want.Program) || got.Flags != want.Flags {
		t.Error("it is not what is compiled now; run: go test ./pkg/oci/seccomp -run Ahead -update")
	}
	for _, caps := range [][]string{nil, usual[1:], slices.Concat([]string{"CAP_BPF"}, usual[:])} {
		if Ahead(caps) != nil {
			t.Errorf("%v: it was made for other capabilities", caps)
		}
	}
}
