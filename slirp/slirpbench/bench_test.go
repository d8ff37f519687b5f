package slirpbench

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nook-containers/nook/slirp"
	"github.com/nook-containers/nook/slirp/pasta"
	"github.com/nook-containers/nook/slirp/slirp4netns"
	"github.com/nook-containers/nook/slirp/slirptest"
)

var (
	round   = flag.Duration("round", time.Second, "how long a backend runs before the next one's turn")
	rounds  = flag.Int("rounds", 3, "turns of each backend")
	only    = flag.String("rows", "", "regular expression: the rows to measure")
	which   = flag.String("backends", "netstack,pasta,slirp4netns", "the backends to measure")
	profile = flag.String("netstack-profile", "", "file for a CPU profile of netstack; use with one row")
	showCPU = flag.Bool("cpu", false, "print each round, with the processor time of a Mbit or operation")
	against = flag.String("against", "", "another build of this program, whose netstack is measured too")
)

func TestMain(m *testing.M) {
	if os.Getenv(serveVar) != "" {
		serve()
	}
	slirptest.Main(m)
}

func backends() []slirp.Backend {
	var all []slirp.Backend
	for _, b := range []slirp.Backend{apart{}, pasta.Backend{Interface: "up0"}, slirp4netns.Backend{}} {
		if b.Check() == nil && strings.Contains(*which, b.Name()) {
			all = append(all, b)
		}
	}
	if *against != "" {
		all = append(all, other{apart{program: *against}})
	}
	return all
}

// world is a backend with its guest.
type world struct {
	backend slirp.Backend
	guest   *slirptest.NS
}

// guestIndex is a guest number that slirp4netns does not use itself.
const guestIndex = 98

// port is the one that everything listens on, in the server and, published, in
// the guest.
const port = 5201

func start(b *testing.B, backend slirp.Backend, r row) *world {
	b.Helper()
	cfg := slirp.Config{
		MTU:  r.mtu,
		IPv4: slirp.Subnet{Prefix: netip.MustParsePrefix("10.88.0.0/24"), Gateway: netip.MustParseAddr("10.88.0.2")},
		Host: slirp.HostAccess{Addrs: true},
	}
	addr := slirptest.GuestAddr(cfg.IPv4, guestIndex)
	if r.published {
		cfg.Ports = []slirp.Port{{Proto: slirp.TCP, HostPort: port, Guest: []netip.Addr{addr}, GuestPort: port}}
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
	return &world{backend, guest}
}

// BenchmarkBackends prints a table, a line for each row. The backends take turns,
// so that what else the machine does meets all of them.
func BenchmarkBackends(b *testing.B) {
	wanted, err := regexp.Compile(*only)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(0, "ns/op")
	list := slices.DeleteFunc(rows(), func(r row) bool { return !wanted.MatchString(r.name) })
	if len(list) == 0 {
		return
	}
	fmt.Printf("\n%-24s%-9s", "NETWORK (medians)", "")
	for _, backend := range backends() {
		fmt.Printf("%12s", backend.Name())
	}
	fmt.Printf("%12s\n", "RATIO")
	for _, r := range list {
		b.Run(r.name, func(b *testing.B) {
			b.ReportMetric(0, "ns/op")
			show(b, r, measure(b, r))
		})
	}
}

// measure returns the median rate of each backend.
func measure(b *testing.B, r row) (rates []float64) {
	b.Helper()
	measured := make([][]float64, len(backends()))
	for range *rounds {
		for i, backend := range backends() {
			b.Run(backend.Name(), func(b *testing.B) {
				b.ReportMetric(0, "ns/op")
				var rate float64
				showUsed(b, backend.Name(), &rate)
				rate = r.run(b, start(b, backend, r))
				measured[i] = append(measured[i], rate)
			})
		}
	}
	for _, m := range measured {
		if len(m) == 0 { // it has failed, and said why
			rates = append(rates, 0)
			continue
		}
		slices.Sort(m)
		rates = append(rates, m[len(m)/2])
	}
	return rates
}

// show prints the rates, and netstack's over the best of the others.
func show(b *testing.B, r row, rates []float64) {
	b.Helper()
	fmt.Printf("%-24s%-9s", r.name, r.unit)
	own, best := 0.0, 0.0
	for i, backend := range backends() {
		fmt.Printf("%12.2f", rates[i])
		switch backend.Name() {
		case "netstack":
			own = rates[i]
		case "against":
		default:
			best = max(best, rates[i])
		}
	}
	if best > 0 && own > 0 {
		fmt.Printf("%12.2f", own/best)
	}
	fmt.Println()
}
