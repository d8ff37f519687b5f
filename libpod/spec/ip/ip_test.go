package ip_test

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"testing"

	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/spec/ip"
)

// Records hold what package net/netip writes, and what it wrote when the fields
// were its own.
func TestJSON(t *testing.T) {
	type netips struct {
		Prefix     netip.Prefix `json:"prefix"`
		Gateway    netip.Addr   `json:"gateway"`
		RangeFirst netip.Addr   `json:"rangeFirst,omitzero"`
		RangeLast  netip.Addr   `json:"rangeLast,omitzero"`
	}
	for _, n := range []netips{
		{},
		{Prefix: netip.MustParsePrefix("10.9.0.0/24"), Gateway: netip.MustParseAddr("10.9.0.1"), RangeFirst: netip.MustParseAddr("10.9.0.8"), RangeLast: netip.MustParseAddr("10.9.0.9")},
		{Prefix: netip.MustParsePrefix("FD01:0:0:0::/64"), Gateway: netip.MustParseAddr("fd01:0:0:0:0:0:0:1")},
	} {
		want, err := json.Marshal(n)
		if err != nil {
			t.Fatal(err)
		}
		got, err := json.Marshal(ip.SubnetText(ip.Subnet(n)))
		if err != nil || string(got) != string(want) {
			t.Errorf("got %s, want %s: %v", got, want, err)
		}
		var s spec.Subnet
		if err := json.Unmarshal(want, &s); err != nil {
			t.Fatal(err)
		}
		if back, err := ip.ParseSubnet(s); err != nil || netips(back) != n {
			t.Errorf("%s is read as %v: %v", want, back, err)
		}
		if s.Prefix.Is6() != n.Prefix.Addr().Is6() || s.Gateway.Is6() != n.Gateway.Is6() {
			t.Errorf("%s: of the wrong family", want)
		}
	}
}

func TestDamaged(t *testing.T) {
	for _, s := range []spec.Subnet{
		{Prefix: "10.9.0.0"},
		{Prefix: "10.9.0.0/24", Gateway: "10.9.0"},
		{Prefix: "10.9.0.0/24", Gateway: "10.9.0.1", RangeFirst: "x"},
		{Prefix: "10.9.0.0/24", Gateway: "10.9.0.1", RangeLast: "::g"},
	} {
		if got, err := ip.ParseSubnet(s); err == nil {
			t.Errorf("%v is read as %v", s, got)
		}
	}
	if a := ip.Addr("10.9.0"); a.IsValid() {
		t.Errorf("no address is read as %s", a)
	}
}

func TestLists(t *testing.T) {
	texts := []spec.Addr{"9.9.9.9", "2620:fe::fe"}
	if got := ip.Texts(ip.Addrs(texts)); !reflect.DeepEqual(got, texts) {
		t.Errorf("got %q", got)
	}
	if ip.Texts(nil) != nil || ip.Addrs(nil) != nil {
		t.Error("no list became an empty one, which is written down")
	}
}
