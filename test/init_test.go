package test

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"regexp"
	"slices"
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
	// maxEarlyInits is the part of them, in percent, that a stage of a container and
	// the start of the engine may wait for. The linker puts packages in the order of their names as soon as all
	// that they import is done, so one import with a late name holds them up until
	// nearly everything else is initialised.
	maxEarlyInits = 66
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

// initialised lists the packages that a process of the program initialises, in
// order, with the bytes that each allocates.
func initialised(t *testing.T, args ...string) (packages []string, allocated []int) {
	t.Helper()
	cmd := exec.Command(program(t))
	cmd.Args = args
	cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1")
	var trace bytes.Buffer
	cmd.Stderr = &trace
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(&trace); lines.Scan(); {
		m := initLine.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		n, err := strconv.Atoi(m[2])
		if err != nil {
			t.Fatal(err)
		}
		packages, allocated = append(packages, m[1]), append(allocated, n)
	}
	if len(packages) == 0 {
		t.Fatal("no trace: the runtime's format has changed")
	}
	return packages, allocated
}

func TestStartUpBudget(t *testing.T) {
	packages, allocated := initialised(t, "nook", "--version")
	total := 0
	for i, n := range allocated {
		total += n
		if strings.HasPrefix(packages[i], module) && n > 4096 {
			t.Errorf("package %s allocates %d bytes before main", packages[i], n)
		}
	}
	t.Logf("%d packages initialise, %d bytes", len(packages), total)
	if len(packages) > maxInits || total > maxInitBytes {
		t.Errorf("%d packages initialise and allocate %d bytes; the budget is %d and %d", len(packages), total, maxInits, maxInitBytes)
	}
}

// What a stage and the start of the engine do not need is initialised after they
// have begun (cmd/nook/stage, cmd/nook/launch).
func TestEarlyBudget(t *testing.T) {
	all, _ := initialised(t, "nook", "--version")
	stage, _ := initialised(t, "nook-monitor") // it has nothing to do, and ends
	launch := slices.Index(all, module+"cmd/nook/launch")
	if launch < 0 {
		t.Fatal("cmd/nook/launch has no init")
	}
	for what, before := range map[string][]string{"a stage": stage, "the engine": all[:launch]} {
		t.Logf("%d of %d packages initialise before %s", len(before), len(all), what)
		if len(before)*100 > len(all)*maxEarlyInits {
			t.Errorf("%s waits for %d packages of %d, more than %d %%; the last are %q",
				what, len(before), len(all), maxEarlyInits, before[max(0, len(before)-5):])
		}
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
