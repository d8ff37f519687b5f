package slirpbench

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nook-containers/nook/slirp"
	"github.com/nook-containers/nook/slirp/netstack"
	"github.com/nook-containers/nook/slirp/pasta"
	"github.com/nook-containers/nook/slirp/slirp4netns"
	"github.com/nook-containers/nook/slirp/slirptest"
)

var (
	seconds = flag.Int("seconds", 3, "how long each measurement takes")
	profile = flag.String("netstack-profile", "", "file for a CPU profile of netstack; use with one workload")
	procs   = flag.Int("netstack-procs", runtime.GOMAXPROCS(0), "GOMAXPROCS of netstack")
	only    = flag.String("backends", "netstack,pasta,slirp4netns", "which to measure")
)

func TestMain(m *testing.M) {
	if os.Getenv(serveVar) != "" {
		serve()
	}
	slirptest.Main(m)
}

const serveVar = "NOOK_SLIRPBENCH_CONFIG"

// apart is netstack in a process of its own, as the other backends are: in this
// one, clients and servers would share its goroutines' threads.
type apart struct{ netstack.Backend }

func (apart) Start(ctx context.Context, link slirp.Link, cfg slirp.Config) (slirp.Network, error) {
	text, err := json.Marshal(cfg)
	if err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Env = append(os.Environ(), serveVar+"="+string(text), "NOOK_SLIRPBENCH_PROFILE="+*profile,
		"GOMAXPROCS="+strconv.Itoa(*procs))
	cmd.ExtraFiles = append([]*os.File{w}, link.TAP...)
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	w.Close()
	for _, f := range link.TAP {
		f.Close()
	}
	_, err = io.ReadFull(r, make([]byte, 1))
	return running{cmd: cmd}, err
}

// running ends the process.
type running struct {
	slirp.Network
	cmd *exec.Cmd
}

func (r running) Close() error {
	_ = r.cmd.Process.Signal(os.Interrupt)
	return r.cmd.Wait()
}

// serve runs netstack on descriptor 4 until it is interrupted.
func serve() {
	var cfg slirp.Config
	if err := json.Unmarshal([]byte(os.Getenv(serveVar)), &cfg); err != nil {
		panic(err)
	}
	if p := os.Getenv("NOOK_SLIRPBENCH_PROFILE"); p != "" {
		f, err := os.Create(p)
		if err != nil {
			panic(err)
		}
		if err := pprof.StartCPUProfile(f); err != nil {
			panic(err)
		}
		defer pprof.StopCPUProfile()
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt)
	n, err := netstack.Backend{}.Start(context.Background(), slirp.Link{TAP: []*os.File{os.NewFile(4, "tap")}}, cfg)
	if err != nil {
		panic(err)
	}
	ready := os.NewFile(3, "ready")
	_, _ = ready.Write([]byte{1})
	<-stop
	_ = n.Close()
	pprof.StopCPUProfile()
	os.Exit(0)
}

// A workload measures one backend and returns a rate.
type workload struct {
	name, unit string
	mtu        int
	ports      bool
	run        func(b *testing.B, w *world) float64
}

type world struct {
	guest *slirptest.NS
	addr  string // the guest's
}

func workloads() []workload {
	out := func(args ...string) func(*testing.B, *world) float64 {
		return func(b *testing.B, w *world) float64 { //nolint:thelper // a workload, not a helper
			return iperf(b, w.guest, slirptest.Server(), slirptest.Router4, args)
		}
	}
	in := func(args ...string) func(*testing.B, *world) float64 {
		return func(b *testing.B, w *world) float64 { //nolint:thelper // a workload, not a helper
			return iperf(b, slirptest.Server(), w.guest, slirptest.Host4, args)
		}
	}
	const big, ether = 65520, 1500
	return []workload{
		{"tcp out", "Gbit/s", big, false, out()},
		{"tcp out, 8 streams", "Gbit/s", big, false, out("-P8")},
		{"tcp in", "Gbit/s", big, false, out("-R")},
		{"tcp in, 8 streams", "Gbit/s", big, false, out("-R", "-P8")},
		{"tcp out, MTU 1500", "Gbit/s", ether, false, out()},
		{"tcp in, MTU 1500", "Gbit/s", ether, false, out("-R")},
		{"udp out, 1400 bytes", "Gbit/s", big, false, out("-u", "-b0", "-l1400")},
		{"udp in, 1400 bytes", "Gbit/s", big, false, out("-u", "-b0", "-l1400", "-R")},
		{"published tcp", "Gbit/s", big, true, in()},
		{"published tcp, reverse", "Gbit/s", big, true, in("-R")},
		{"connections", "1/s", big, false, connections},
		{"round trips", "1/s", big, false, roundTrips},
	}
}

func backends() []slirp.Backend {
	var all []slirp.Backend
	for _, b := range []slirp.Backend{apart{}, pasta.Backend{Interface: "up0"}, slirp4netns.Backend{}} {
		if b.Check() == nil && strings.Contains(*only, b.Name()) {
			all = append(all, b)
		}
	}
	return all
}

// guestIndex is a guest number that slirp4netns does not use itself.
const guestIndex = 98

const iperfPort = 5201

func start(b *testing.B, backend slirp.Backend, w workload) *world {
	b.Helper()
	cfg := slirp.Config{
		MTU:  w.mtu,
		IPv4: slirp.Subnet{Prefix: netip.MustParsePrefix("10.88.0.0/24"), Gateway: netip.MustParseAddr("10.88.0.2")},
		Host: slirp.HostAccess{Addrs: true},
	}
	addr := slirptest.GuestAddr(cfg.IPv4, guestIndex)
	if w.ports {
		cfg.Ports = []slirp.Port{{Proto: slirp.TCP, HostPort: iperfPort, Guest: []netip.Addr{addr}, GuestPort: iperfPort}}
	}
	guest := slirptest.NewNS(b)
	link := slirp.Link{NetNS: guest.File(), Name: "tap0", Guests: []netip.Addr{addr}}
	if backend.Features().LiveTAP {
		link.TAP = slirptest.OpenTAP(b, guest, "tap0", 1)
	}
	n, err := backend.Start(b.Context(), link, cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { n.Close() })
	slirptest.Address(b, guest, "tap0", cfg.WithDefaults(), guestIndex)
	return &world{guest, addr.String()}
}

func BenchmarkBackends(b *testing.B) {
	table := map[string]map[string]float64{}
	for _, w := range workloads() {
		table[w.name] = map[string]float64{}
		for _, backend := range backends() {
			b.Run(w.name+"/"+backend.Name(), func(b *testing.B) {
				world := start(b, backend, w)
				b.ResetTimer()
				rate := w.run(b, world)
				b.ReportMetric(rate, w.unit)
				b.ReportMetric(0, "ns/op")
				table[w.name][backend.Name()] = rate
			})
		}
	}
	show(table)
}

// show prints the rates, and netstack's over the best of the others.
func show(table map[string]map[string]float64) {
	var s strings.Builder
	fmt.Fprintf(&s, "\n%-26s %-8s", "", "")
	for _, backend := range backends() {
		fmt.Fprintf(&s, "%12s", backend.Name())
	}
	fmt.Fprintf(&s, "%12s\n", "ratio")
	for _, w := range workloads() {
		rates, ok := table[w.name]
		if !ok || len(rates) == 0 {
			continue
		}
		fmt.Fprintf(&s, "%-26s %-8s", w.name, w.unit)
		best := 0.0
		for _, backend := range backends() {
			r := rates[backend.Name()]
			fmt.Fprintf(&s, "%12.2f", r)
			if backend.Name() != "netstack" {
				best = max(best, r)
			}
		}
		if best > 0 {
			fmt.Fprintf(&s, "%12.2f", rates["netstack"]/best)
		}
		s.WriteByte('\n')
	}
	fmt.Println(s.String())
}

// command runs a program inside ns.
func command(ctx context.Context, ns *slirptest.NS, name string, args ...string) (*exec.Cmd, *strings.Builder, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	return cmd, &out, ns.Do(cmd.Start)
}

// iperf sends from client to addr, where server listens, and returns what
// arrived, in Gbit/s.
func iperf(b *testing.B, client, server *slirptest.NS, addr string, args []string) float64 {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	port := strconv.Itoa(iperfPort)
	srv, _, err := command(ctx, server, "iperf3", "-s", "-1", "-p", port)
	if err != nil {
		b.Skip("iperf3: ", err)
	}
	defer func() { _ = srv.Wait() }()
	defer cancel()
	awaitListener(b, server)
	args = append([]string{"-c", addr, "-p", port, "-J", "-t", strconv.Itoa(*seconds)}, args...)
	cmd, out, err := command(ctx, client, "iperf3", args...)
	if err != nil {
		b.Fatal(err)
	}
	err = cmd.Wait()
	var r struct {
		End struct {
			Received struct {
				Rate float64 `json:"bits_per_second"`
			} `json:"sum_received"`
			Sum struct {
				Rate float64 `json:"bits_per_second"`
				Lost float64 `json:"lost_percent"`
			} `json:"sum"`
		} `json:"end"`
		Error string `json:"error"`
	}
	if json.Unmarshal([]byte(out.String()), &r) != nil || r.Error != "" {
		b.Fatalf("iperf3 %v: %v: %s", args, err, out)
	}
	if r.End.Sum.Rate > 0 { // UDP: sent, less lost
		return r.End.Sum.Rate * (1 - r.End.Sum.Lost/100) / 1e9
	}
	return r.End.Received.Rate / 1e9
}

// awaitListener waits until something listens on iperf's port in ns.
func awaitListener(b *testing.B, ns *slirptest.NS) {
	b.Helper()
	want := fmt.Sprintf(":%04X ", iperfPort)
	for range 500 {
		found := false
		_ = ns.Do(func() error {
			for _, f := range []string{"tcp", "tcp6"} {
				out, err := exec.Command("cat", "/proc/thread-self/net/"+f).Output()
				found = found || err == nil && strings.Contains(string(out), want)
			}
			return nil
		})
		if found {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	b.Fatal("iperf3 does not listen")
}

// connections opens and closes connections, four at a time.
func connections(b *testing.B, w *world) float64 {
	b.Helper()
	l := slirptest.Server().Listen(b, "tcp", slirptest.Far4+":7")
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	var count atomic.Int64
	var wg sync.WaitGroup
	until := time.Now().Add(time.Duration(*seconds) * time.Second)
	for range 4 {
		wg.Go(func() {
			_ = w.guest.Do(func() error {
				for time.Now().Before(until) {
					c, err := net.Dial("tcp", slirptest.Far4+":7")
					if err != nil {
						return err
					}
					_, _ = io.Copy(io.Discard, c)
					c.Close()
					count.Add(1)
				}
				return nil
			})
		})
	}
	wg.Wait()
	return float64(count.Load()) / float64(*seconds)
}

// roundTrips sends a byte there and back.
func roundTrips(b *testing.B, w *world) float64 {
	b.Helper()
	l := slirptest.Server().Listen(b, "tcp", slirptest.Far4+":7")
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				buf := make([]byte, 1)
				for {
					if _, err := c.Read(buf); err != nil {
						c.Close()
						return
					}
					_, _ = c.Write(buf)
				}
			}()
		}
	}()
	c, err := w.guest.Dial(b.Context(), "tcp", slirptest.Far4+":7")
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	count, buf := 0, make([]byte, 1)
	until := time.Now().Add(time.Duration(*seconds) * time.Second)
	for ; time.Now().Before(until); count++ {
		if _, err := c.Write(buf); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(c, buf); err != nil {
			b.Fatal(err)
		}
	}
	return float64(count) / float64(*seconds)
}
