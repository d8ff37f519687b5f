package syntax

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nook-containers/nook/libpod/spec"
)

func portsText(ports []spec.Port, err error) string {
	if err != nil {
		return "error: " + err.Error()[strings.LastIndex(err.Error(), "invalid value: ")+len("invalid value: "):]
	}
	var out []string
	for _, p := range ports {
		out = append(out, PortText(p))
	}
	return strings.Join(out, " ")
}

func TestPublish(t *testing.T) {
	for in, want := range map[string]string{
		"80":                         "80/tcp",
		"8080:80":                    "8080:80/tcp",
		"8080:80/udp":                "8080:80/udp",
		"8080:80/TCP,udp":            "8080:80/tcp 8080:80/udp",
		"0:80":                       "80/tcp",
		":80":                        "80/tcp",
		"127.0.0.1:8080:80":          "127.0.0.1:8080:80/tcp",
		"127.0.0.1::80":              "127.0.0.1::80/tcp",
		"0.0.0.0:0:80":               "0.0.0.0::80/tcp",
		"[::1]:8080:80":              "[::1]:8080:80/tcp",
		"[::]::80":                   "[::]::80/tcp",
		"8000-8002:80-82":            "8000-8002:80-82/tcp",
		"80-82":                      "80-82/tcp",
		"1-65535:1-65535":            "1-65535:1-65535/tcp",
		"":                           "error: a port is a number from 1 to 65535",
		"0":                          "error: a port is a number from 1 to 65535",
		"8080:0":                     "error: a port is a number from 1 to 65535",
		"65536:80":                   "error: a port is a number from 1 to 65535",
		"http:80":                    "error: a port is a number from 1 to 65535",
		"-1:80":                      "error: a port is a number from 1 to 65535",
		"82-80":                      "error: the range ends before it begins",
		"8000-8002:80":               "8000-8002:80/tcp",
		"8000-8002:80-81":            "error: 3 ports of the host for 2 of the container",
		"8000:80-81":                 "error: 1 ports of the host for 2 of the container",
		"8080:80/sctp":               "error: only tcp and udp can be published without root",
		"8080:80/":                   "error: want /tcp or /udp",
		"localhost:8080:80":          `error: "localhost" is not an address; a host name cannot be listened on`,
		"::1:8080:80":                "error: write an IPv6 address in brackets, as [::1]:8080:80",
		"[::1:8080:80":               "error: the bracket is not closed",
		"[127.0.0.1]:8080:80":        "error: write an IPv6 address in brackets, as [::1]:8080:80",
		"224.0.0.1:8080:80":          "error: 224.0.0.1 is not an address to listen on",
		"[fe80::1%eth0]:8080:80":     "error: fe80::1%eth0 is not an address to listen on",
		"[::ffff:127.0.0.1]:8080:80": "error: ::ffff:127.0.0.1 is not an address to listen on",
	} {
		if got := portsText(Publish(in)); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
	for in, want := range map[string]string{"53/udp": "53/udp", "80-81": "80-81/tcp", "8080:80": "error: a port is a number from 1 to 65535"} {
		if got := portsText(Expose(in)); got != want {
			t.Errorf("expose %q: got %s, want %s", in, got, want)
		}
	}
}

func TestClashes(t *testing.T) {
	for in, want := range map[string]bool{
		"8080:80 8080:81": true, "8080:80 8080:80/udp": false, "8000-8010:80-90 8010:80": true, "8000-8009:80-89 8010:80": false,
		"127.0.0.1:80:80 0.0.0.0:80:80": true, "127.0.0.1:80:80 127.0.0.2:80:80": false, "[::]:80:80 0.0.0.0:80:80": false,
		"80:80 [::1]:80:80": true, "8000-8010:80 8005:81": false, "8000-8010:80 8000-8010:81": false, "80 80": false,
	} {
		var ports []spec.Port
		for text := range strings.FieldsSeq(in) {
			p, err := Publish(text)
			if err != nil {
				t.Fatal(err)
			}
			ports = append(ports, p...)
		}
		if _, _, got := Clashes(ports); got != want {
			t.Errorf("%s: %v, want %v", in, got, want)
		}
	}
}

func TestNetwork(t *testing.T) {
	show := func(a NetworkArg, err error) string {
		if err != nil {
			return "error"
		}
		out := []string{a.Mode}
		for _, x := range []any{a.Arg, a.Use.Name, a.Use.IPv4, a.Use.IPv6, a.Use.MAC, a.Use.Aliases, a.Use.Interface, a.Use.MTU, a.Options} {
			if text := fmt.Sprint(x); text != "" && text != "0" && text != "[]" && text != "00:00:00:00:00:00" {
				out = append(out, text)
			}
		}
		return strings.Join(out, " ")
	}
	for in, want := range map[string]string{
		"none": "none", "host": "host", "bridge": "bridge nook", "default": "bridge nook", "private": "bridge nook",
		"back": "bridge back",
		"back:ip=10.1.0.9,ip6=fd01::9,mac=02-42-0A-01-00-09,alias=db,alias=sql.local,interface_name=lan0,mtu=1400": "bridge back 10.1.0.9 fd01::9 02:42:0a:01:00:09 [db sql.local] lan0 1400",
		"bridge:ip=10.1.0.9":                   "bridge nook 10.1.0.9",
		"name=back,alias=db,ip=10.1.0.9":       "bridge back 10.1.0.9 [db]",
		"container:web":                        "container web",
		"ns:/run/user/1/../ns":                 "ns /run/user/ns",
		"pasta":                                "pasta",
		"pasta:-t,auto":                        "pasta [-t auto]",
		"slirp4netns:port_handler=slirp4netns": "slirp4netns [port_handler=slirp4netns]",
		"":                                     "error", "host:x": "error", "none:ip=10.1.0.9": "error", "container:": "error", "ns:rel": "error", "pasta:": "error", "pod": "error",
		"../x": "error", "back:": "error", "back:ip=fd01::9": "error", "back:ip=": "error", "back:ip6=10.1.0.9": "error", "back:mac=01:00:5e:00:00:01": "error",
		"back:mac=02:42": "error", "back:alias=-x": "error", "back:interface_name=": "error", "back:interface_name=a/b": "error", "back:mtu=100": "error", "back:mtu=": "error",
		"back:color=red": "error", "back:ip=0.0.0.0": "error", "back:ip=fe80::1%eth0": "error", "name=host,ip=10.1.0.9": "error", "name=": "error",
	} {
		if got := show(Network(in)); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
}

func TestNetworkOption(t *testing.T) {
	var o NetworkOptions
	for _, text := range []string{
		"mtu=1500", "isolate=strict", "com.docker.network.bridge.enable_icc=false", "com.docker.network.bridge.name=br9",
		"com.docker.network.bridge.host_binding_ipv4=127.0.0.1", "no_default_route=1", "com.docker.network.bridge.enable_ip_masquerade=true",
	} {
		if err := NetworkOption(&o, text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	if !o.Isolate || !o.NoPeers || !o.NoDefaultRoute || o.MTU != 1500 || o.Bridge != "br9" || o.HostIP != "127.0.0.1" || len(o.Given) != 7 {
		t.Errorf("got %+v", o)
	}
	for _, text := range []string{
		"mtu=1500", "mtu", "mtu=", "mtu=x", "com.docker.network.driver.mtu=70000", "isolate=maybe", "vlan=3", "parent=eth0", "shape=round",
		"com.docker.network.bridge.name=way-too-long-a-name", "com.docker.network.bridge.host_binding_ipv4=::1", "enable_ip_masquerade=false",
	} {
		if err := NetworkOption(&o, text); err == nil {
			t.Errorf("%s was taken", text)
		}
	}
	var p NetworkOptions
	if err := NetworkOption(&p, "com.docker.network.bridge.enable_ip_masquerade=false"); err == nil {
		t.Error("routed networks were taken")
	}
}

func TestIPRange(t *testing.T) {
	for in, want := range map[string]string{
		"10.1.2.128/25": "10.1.2.128-10.1.2.255", "10.1.2.200/25": "10.1.2.128-10.1.2.255", "10.1.2.5-10.1.2.9": "10.1.2.5-10.1.2.9", "fd01::/124": "fd01::-fd01::f",
		"10.1.2.9-10.1.2.5": "error", "10.1.2.5-fd01::1": "error", "10.1.2.5": "error", "-": "error",
	} {
		r, err := IPRange(in)
		got := r.String()
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

// What is accepted can be written down and read again.
func FuzzNetwork(f *testing.F) {
	for _, s := range []string{"[::1]:8000-8002:80-82/tcp,udp", "back:ip=10.1.0.9,mac=02:42:0a:01:00:09,alias=db", "127.0.0.1::80", "10.1.2.5-10.1.2.9", "com.docker.network.bridge.enable_icc=false"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ports, err := Publish(text)
		for _, p := range ports {
			if p.ContainerPort == 0 || p.Range == 0 || int(p.ContainerPort)+int(p.Range) > 1<<16 || p.HostPort != 0 && int(p.HostPort)+int(p.Range) > 1<<16 {
				t.Errorf("%q: %+v", text, p)
			}
			if again, err := Publish(PortText(p)); err != nil || len(again) != 1 || again[0] != p {
				t.Errorf("%q: %+v written as %s is %+v, %v", text, p, PortText(p), again, err)
			}
		}
		if arg, err := Network(text); err == nil && arg.Mode == spec.NetworkBridge && Name(arg.Use.Name) != nil {
			t.Errorf("%q: %+v", text, arg)
		}
		if r, err := IPRange(text); err == nil && (!r.First.IsValid() || r.Last.Less(r.First)) {
			t.Errorf("%q: %s", text, r)
		}
		_, _ = Expose(text)
		_ = NetworkOption(&NetworkOptions{}, text)
		_ = HostName(text)
		_ = InterfaceName(text)
		_ = err
	})
}
