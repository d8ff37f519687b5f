package slirp

import (
	"net/netip"
	"strings"
	"testing"
)

func TestValidate(t *testing.T) {
	good := Config{IPv4: Subnet{Prefix: netip.MustParsePrefix("10.88.0.0/16")}, IPv6: Subnet{Prefix: netip.MustParsePrefix("fd00::/64")}}
	port := Port{Proto: TCP, HostPort: 80, Guest: []netip.Addr{netip.MustParseAddr("10.88.0.2")}, GuestPort: 80}
	for name, c := range map[string]struct {
		change func(*Config)
		want   string // in the error; "" is none
	}{
		"good":              {func(*Config) {}, ""},
		"no subnet":         {func(c *Config) { c.IPv4, c.IPv6 = Subnet{}, Subnet{} }, "want one of"},
		"families swapped":  {func(c *Config) { c.IPv4.Prefix = c.IPv6.Prefix }, "wrong family"},
		"too small":         {func(c *Config) { c.IPv4.Prefix = netip.MustParsePrefix("10.0.0.0/31") }, "too small"},
		"loopback":          {func(c *Config) { c.IPv4.Prefix = netip.MustParsePrefix("127.0.0.0/8") }, "not for hosts"},
		"gateway elsewhere": {func(c *Config) { c.IPv4.Gateway = netip.MustParseAddr("10.89.0.1") }, "gateway 10.89.0.1"},
		"MTU small":         {func(c *Config) { c.MTU = 576 }, "MTU 576"},
		"MTU large":         {func(c *Config) { c.MTU = 65535 }, "MTU 65535"},
		"multicast MAC":     {func(c *Config) { c.MAC[0] = 1 }, "multicast"},
		"DNS of no family":  {func(c *Config) { c.IPv6 = Subnet{}; c.DNSAddrs = []netip.Addr{netip.IPv6Unspecified().Next()} }, "DNS address"},
		"alias across": {func(c *Config) {
			c.Host.Aliases = []Alias{{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("::1"), nil}}
		}, "one family"},
		"port":                   {func(c *Config) { c.Ports = []Port{port} }, ""},
		"port twice":             {func(c *Config) { c.Ports = []Port{port, port} }, "twice"},
		"port of no protocol":    {func(c *Config) { p := port; p.Proto = Echo; c.Ports = []Port{p} }, "want tcp or udp"},
		"port to nobody":         {func(c *Config) { p := port; p.Guest = nil; c.Ports = []Port{p} }, "want one guest"},
		"port to two of a kind":  {func(c *Config) { p := port; p.Guest = append(p.Guest, p.Guest...); c.Ports = []Port{p} }, "one of each family"},
		"port to port 0":         {func(c *Config) { p := port; p.GuestPort = 0; c.Ports = []Port{p} }, "no guest port"},
		"limits below zero":      {func(c *Config) { c.Limits.TCPFlows = -1 }, "negative"},
		"limits above the whole": {func(c *Config) { c.Limits.PerGuest = 101 }, "percent"},
	} {
		cfg := good
		c.change(&cfg)
		err := cfg.WithDefaults().Validate()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestDefaults(t *testing.T) {
	c := Config{IPv4: Subnet{Prefix: netip.MustParsePrefix("10.88.0.77/24")}}.WithDefaults()
	if c.IPv4.Prefix.String() != "10.88.0.0/24" || c.IPv4.Gateway.String() != "10.88.0.1" || c.MTU != MaxMTU ||
		len(c.DNSAddrs) != 1 || c.DNSAddrs[0] != c.IPv4.Gateway || c.Limits != DefaultLimits() || c.Log == nil {
		t.Errorf("defaults: %+v", c)
	}
	if (Limits{PerGuest: 50}).Share(1) != 1 || (Limits{PerGuest: 50}).Share(100) != 50 {
		t.Error("shares are off")
	}
}
