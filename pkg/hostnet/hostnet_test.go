package hostnet

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
)

// word is an address as the kernel prints it.
func word(a string) string {
	b := netip.MustParseAddr(a).As4()
	return fmt.Sprintf("%08X", binary.NativeEndian.Uint32(b[:]))
}

func TestParseRoutes(t *testing.T) {
	table := "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n" +
		"eth0\t" + word("0.0.0.0") + "\t" + word("192.168.1.1") + "\t0003\t0\t0\t100\t" + word("0.0.0.0") + "\t0\t0\t0\n" +
		"tun0\t" + word("10.0.0.0") + "\t" + word("10.8.0.1") + "\t0003\t0\t0\t50\t" + word("255.0.0.0") + "\t0\t0\t0\n" +
		"eth0\t" + word("192.168.1.0") + "\t" + word("0.0.0.0") + "\t0001\t0\t0\t100\t" + word("255.255.255.0") + "\t0\t0\t0\n"
	if got, want := fmt.Sprint(ParseRoutes4(table)), "[{10.0.0.0/8 tun0 true} {192.168.1.0/24 eth0 false}]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	const zero = "00000000000000000000000000000000"
	table = "fd120000000000000000000000000000 30 " + zero + " 00 " + zero + " 00000100 00000001 00000000 00000001     eth0\n" +
		"fd340000000000000000000000000000 20 " + zero + " 00 fe800000000000000000000000000001 00000400 00000000 00000000 00000003     tun0\n" +
		zero + " 00 " + zero + " 00 fe800000000000000000000000000001 00000400 00000000 00000000 00000003     eth0\n" +
		"fe800000000000000000000000000000 40 " + zero + " 00 " + zero + " 00000100 00000001 00000000 00000001     eth0\n"
	if got, want := fmt.Sprint(ParseRoutes6(table)), "[{fd12::/48 eth0 false} {fd34::/32 tun0 true}]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// What the host has is read, and no default route or loopback address is in it.
func TestRead(t *testing.T) {
	blocks, err := Read()
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range blocks {
		if b.Prefix.Bits() == 0 || b.Prefix.Addr().IsLoopback() || b.Interface == "" || b.Prefix != b.Prefix.Masked() {
			t.Errorf("%+v", b)
		}
	}
}

func FuzzRoutes(f *testing.F) {
	f.Add("eth0\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n")
	f.Add("fd120000000000000000000000000000 30 0 00 0 00000100 00000001 00000000 00000001 eth0\n")
	f.Fuzz(func(t *testing.T, table string) {
		for _, b := range append(ParseRoutes4(table), ParseRoutes6(table)...) {
			if !b.Prefix.IsValid() || b.Prefix.Bits() == 0 {
				t.Errorf("%+v", b)
			}
		}
	})
}
