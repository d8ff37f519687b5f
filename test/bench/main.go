// Command bench times nook beside its peers on this machine, as the current
// user, and prints how they compare:
//
//	bench -nook PROGRAM [-runs N] [-rows REGEXP]
//
// hyperfine takes the times, the peers are whatever is installed: podman, crun,
// bwrap, tar. A peer that is missing is named, and its comparisons are left out.
// The bars are docs/bench.md's. Ratios only mean something within one run.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
)

// A row compares commands that do the same work.
type row struct {
	name    string
	bar     float64 // how many times faster than the first peer nook is to be
	aim     float64
	cmds    []command // nook first
	prepare string    // before each run of any of them, not timed
	runs    int       // 0: the default
}

type command struct {
	tool, line string
	prepare    string // before each run of this one, not timed
}

type bench struct {
	dir, nook, rootfs, layer, registry string
	runs                               int
	only                               *regexp.Regexp // rows by name; nil: all
	have                               map[string]bool
}

func main() {
	var b bench
	flag.StringVar(&b.nook, "nook", "", "the program")
	flag.StringVar(&b.rootfs, "rootfs", "", "tar archive of a busybox root")
	flag.StringVar(&b.layer, "layer", "", "compressed tar archive of a large layer")
	flag.StringVar(&b.registry, "registry", "", "host:port that has lab/everything")
	flag.IntVar(&b.runs, "runs", 20, "runs of each command")
	flag.Func("rows", "only those whose names match", func(s string) (err error) {
		b.only, err = regexp.Compile(s)
		return err
	})
	flag.Parse()
	if err := b.main(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (b *bench) main() (err error) {
	if os.Getuid() == 0 {
		return errors.New("nook is for ordinary users; run: make bench")
	}
	if b.dir, err = os.MkdirTemp("/var/tmp", "nook-b-"); err != nil {
		return err
	}
	defer func() { _ = exec.Command("unshare", "-r", "--map-auto", "rm", "-rf", b.dir).Run() }()
	b.peers()
	if err := b.setUp(); err != nil {
		return err
	}
	defer b.end()
	tw := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	if err := b.idle(tw); err != nil {
		return err
	}
	fmt.Fprintln(tw, "\nWORK\tTIME (ms, median)\tRATIO\tBAR\tAIM\t")
	for _, r := range b.rows() {
		if !b.wants(r.name) {
			continue
		}
		if err := b.measure(tw, r); err != nil {
			return errors.Join(err, tw.Flush())
		}
	}
	return tw.Flush()
}

// end removes the containers that the last row left.
func (b *bench) end() {
	for _, c := range b.both("rm -f -a -t 0", "") {
		if !b.have[c.tool] {
			continue
		}
		cmd := exec.Command("sh", "-c", c.line)
		cmd.Dir = b.dir
		if out, err := cmd.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "bench: %s: %v: %s\n", c.line, err, out)
		}
	}
}

func (b *bench) wants(row string) bool { return b.only == nil || b.only.MatchString(row) }

// peers prints which tools take part.
func (b *bench) peers() {
	b.have = map[string]bool{"nook": true}
	for _, tool := range []string{"podman", "crun", "bwrap", "tar"} {
		out, err := exec.Command(tool, "--version").Output()
		b.have[tool] = err == nil
		version, _, _ := strings.Cut(string(out), "\n")
		if err != nil {
			version = tool + ": missing"
		}
		fmt.Println(version)
	}
}

// setUp gives all tools the same root file system, and stores of their own.
func (b *bench) setUp() error {
	for _, d := range []string{"home", "data", "run", "root", "x"} {
		if err := os.Mkdir(filepath.Join(b.dir, d), 0o700); err != nil {
			return err
		}
	}
	env := map[string]string{"HOME": "home", "XDG_DATA_HOME": "data"}
	if os.Getenv("XDG_RUNTIME_DIR") == "" { // else it is in memory, as in a session
		env["XDG_RUNTIME_DIR"] = "run"
	}
	for k, v := range env {
		if err := os.Setenv(k, filepath.Join(b.dir, v)); err != nil {
			return err
		}
	}
	steps := []command{
		{tool: "tar", line: "tar -C root -xf " + b.rootfs},
		{tool: "nook", line: b.nook + " import -q -c 'CMD [\"true\"]' " + b.rootfs + " localhost/bench"},
		{tool: "podman", line: "podman import -q " + b.rootfs + " localhost/bench"},
		{tool: "crun", line: `mkdir bundle && cd bundle && ln -s ../root rootfs && crun spec --rootless && sed -i 's/"terminal": true/"terminal": false/; s/"sh"$/"true"/' config.json`},
	}
	for _, s := range steps {
		if !b.have[s.tool] {
			continue
		}
		cmd := exec.Command("sh", "-c", s.line)
		cmd.Dir = b.dir
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", s.line, err, out)
		}
	}
	syscall.Sync() // else the first row pays for writing all this
	return nil
}

func (b *bench) rows() []row {
	podman := b.podman()
	run := "run --rm --network none localhost/bench true"
	image := b.registry + "/lab/everything"
	alone := b.nook + " rm -f -a -t 0; podman rm -f -a -t 0; "
	rows := []row{
		{name: "run --rm --network none IMG true", bar: 5, aim: 8, cmds: []command{
			{tool: "nook", line: b.nook + " " + run},
			{tool: "podman", line: podman + " " + run},
			{tool: "crun", line: "crun --cgroup-manager=disabled run --bundle bundle b"},
			{tool: "bwrap", line: "bwrap --unshare-all --uid 0 --gid 0 --bind root / --proc /proc --dev /dev true"},
		}},
		{name: "run --rm IMG true", bar: 5, aim: 8, cmds: b.both("run --rm localhost/bench true", "")},
		{name: "--version", bar: 4, aim: 6, cmds: b.both("--version", "")},
		{name: "ps", bar: 4, aim: 6, cmds: b.both("ps", "")},
		{name: "exec", bar: 8, aim: 15, cmds: b.both("exec bench true",
			"TOOL container inspect bench || TOOL run -d --name bench --network none localhost/bench sleep 1000")},
		{name: "start 100 at once", bar: 4, aim: 8, runs: 3, cmds: b.both(
			"for i in $(seq 100); do TOOL run -d --network none localhost/bench sleep 1000 & done; wait", "TOOL rm -f -a -t 0")},
		{name: "unpack a layer", bar: 0.5, aim: 0.83, runs: 5, cmds: []command{
			{tool: "nook", line: b.nook + " import -q " + b.layer + " localhost/unpacked"},
			{tool: "tar", line: "unshare -r --map-auto tar -C x -xf " + b.layer},
		}, prepare: alone + aside("data/nook", "x") + "; mkdir x; sync"},
	}
	if b.registry != "" {
		rows = append(rows, row{name: "pull 6 layers", bar: 2, aim: 4, runs: 5, cmds: []command{
			{tool: "nook", line: b.nook + " pull -q --tls-verify=false " + image},
			{tool: "podman", line: podman + " pull -q --tls-verify=false " + image},
		}, prepare: aside("data/nook", "data/containers") + "; sync"})
	}
	return rows
}

// podman is the peer with the options that it needs where no systemd is.
func (b *bench) podman() string { return "podman --cgroup-manager=cgroupfs" }

// both is the same line for nook and podman, at its TOOL or its beginning.
func (b *bench) both(line, prepare string) []command {
	if !strings.Contains(line, "TOOL") {
		line = "TOOL " + line
	}
	var cmds []command
	for tool, program := range map[string]string{"nook": b.nook, "podman": b.podman()} {
		as := func(s string) string { return strings.ReplaceAll(s, "TOOL", program) }
		cmds = append(cmds, command{tool: tool, line: as(line), prepare: as(prepare)})
	}
	slices.SortFunc(cmds, func(a, b command) int { return strings.Compare(a.tool, b.tool) })
	return cmds
}

// aside moves what a run wrote out of the way. It is removed when all is done:
// a file system that was just told to delete thousands of files makes the next
// tool pay for it.
func aside(names ...string) string {
	return "d=$(mktemp -d old-XXXXXX); mv " + strings.Join(names, " ") + " $d"
}

// measure times one row and prints a line for each peer.
func (b *bench) measure(w *tabwriter.Writer, r row) error {
	runs := r.runs
	if runs == 0 {
		runs = b.runs
	}
	export := filepath.Join(b.dir, "times.json")
	args := []string{"--style", "none", "--warmup", "1", "--runs", strconv.Itoa(runs), "--export-json", export}
	var tools []string
	for _, c := range r.cmds {
		if b.have[c.tool] {
			tools = append(tools, c.tool)
			args = append(args, "--prepare", fmt.Sprintf("{\n%s\n%s\ntrue; } >/dev/null 2>&1 || true", r.prepare, c.prepare), c.line)
		}
	}
	cmd := exec.Command("hyperfine", args...)
	cmd.Dir = b.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: hyperfine: %w\n%s", r.name, err, out)
	}
	data, err := os.ReadFile(export)
	if err != nil {
		return err
	}
	var times struct{ Results []struct{ Median float64 } }
	if err := json.Unmarshal(data, &times); err != nil {
		return err
	}
	if len(times.Results) != len(tools) {
		return fmt.Errorf("%s: %d results for %d commands", r.name, len(times.Results), len(tools))
	}
	own := times.Results[0].Median
	fmt.Fprintf(w, "%s\tnook %.1f\t\t\t\t\n", r.name, own*1000)
	for i, t := range times.Results[1:] {
		bar, aim, verdict := "", "", ""
		ratio := t.Median / own
		if tools[i+1] == r.cmds[1].tool {
			bar, aim = fmt.Sprintf("%.2g", r.bar), fmt.Sprintf("%.2g", r.aim)
			verdict = "below the bar"
			if ratio >= r.aim {
				verdict = "at the aim"
			} else if ratio >= r.bar {
				verdict = "over the bar"
			}
		}
		fmt.Fprintf(w, "\t%s %.1f\t%.2f\t%s\t%s\t%s\n", tools[i+1], t.Median*1000, ratio, bar, aim, verdict)
	}
	return nil
}
