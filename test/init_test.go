package test

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// The start-up budget. Every process of a container's start pays for what
// packages do before main, whether it uses them or not. Raising a number needs
// a reason in the commit message.
const (
	maxInits     = 240       // packages with something to initialise
	maxInitBytes = 768 << 10 // allocated by all of them
)

// neverLink lists packages whose initialisation alone would break the budget;
// docs/adr/0002-dependencies.md has the numbers.
var neverLink = []string{
	"github.com/mattn/go-runewidth",
	"github.com/google/gopacket/layers",
	"github.com/gopacket/gopacket/layers",
	"github.com/distribution/reference",
	"github.com/santhosh-tekuri/jsonschema",
	"github.com/xeipuuv/gojsonschema",
	"go.podman.io/image",
	"github.com/opencontainers/runc/libcontainer",
}

var initLine = regexp.MustCompile(`^init (\S+) @.* (\d+) bytes, \d+ allocs$`)

func TestStartUpBudget(t *testing.T) {
	cmd := exec.Command(program(t), "--version")
	cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1")
	var trace bytes.Buffer
	cmd.Stderr = &trace
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, &trace)
	}
	inits, total := 0, 0
	for lines := bufio.NewScanner(&trace); lines.Scan(); {
		m := initLine.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		n, err := strconv.Atoi(m[2])
		if err != nil {
			t.Fatal(err)
		}
		inits, total = inits+1, total+n
		if strings.HasPrefix(m[1], module) && n > 4096 {
			t.Errorf("package %s allocates %d bytes before main", m[1], n)
		}
	}
	t.Logf("%d packages initialise, %d bytes", inits, total)
	if inits == 0 {
		t.Fatal("no trace: the runtime's format has changed")
	}
	if inits > maxInits || total > maxInitBytes {
		t.Errorf("%d packages initialise and allocate %d bytes; the budget is %d and %d", inits, total, maxInits, maxInitBytes)
	}
}

func TestNeverLinked(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "../cmd/nook").Output()
	if err != nil {
		t.Fatal(err)
	}
	deps := strings.Fields(string(out))
	if len(deps) < 50 {
		t.Fatalf("go list shows %d packages only", len(deps))
	}
	for _, d := range deps {
		for _, bad := range neverLink {
			if within(d, bad) || strings.HasPrefix(d, bad+"/v") {
				t.Errorf("%s is linked; see docs/adr/0002-dependencies.md", d)
			}
		}
	}
}

// TestStatic wants a program that runs on any distribution, or on none.
func TestStatic(t *testing.T) {
	out, err := exec.Command("go", "version", "-m", program(t)).Output()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(out), "CGO_ENABLED=0") {
		t.Errorf("built with cgo:\n%s", out)
	}
}
