package slirpbench

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nook-containers/nook/slirp/slirptest"
)

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
	at := strconv.Itoa(port)
	srv, _, err := command(ctx, server, "iperf3", "-s", "-1", "-p", at)
	if err != nil {
		b.Skip("iperf3: ", err)
	}
	defer func() { _ = srv.Wait() }()
	defer cancel()
	awaitListener(b, server)
	// iperf3 counts whole seconds, and takes none for no end.
	args = append([]string{"-c", addr, "-p", at, "-J", "-t", strconv.Itoa(int(math.Ceil(round.Seconds())))}, args...)
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
	want := fmt.Sprintf(":%04X ", port)
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
