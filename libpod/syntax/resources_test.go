package syntax

import (
	"strings"
	"testing"

	"github.com/nook-containers/nook/libpod/spec"
)

func TestCPUs(t *testing.T) {
	for text, want := range map[string]int64{"1": 100_000, "0.5": 50_000, "1.5": 150_000, "0.01": 1000, ".25": 25_000} {
		if quota, period, err := CPUs(text); err != nil || quota != want || period != 100_000 {
			t.Errorf("%s: %d, %d, %v", text, quota, period, err)
		}
	}
	for _, text := range []string{"", "0", "-1", "x", "nan", "inf", "1e9", "0.001"} {
		if quota, _, err := CPUs(text); err == nil {
			t.Errorf("%q: taken for %d", text, quota)
		}
	}
}

func TestCPUSet(t *testing.T) {
	for text, good := range map[string]bool{
		"0": true, "0-3": true, "0-1,3,5-6": true, "": false, "a": false, "3-1": false, "1-": false, "-1": false, "1,,2": false, "0;1": false,
	} {
		if err := CPUSet(text); (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestDeviceAmount(t *testing.T) {
	d, err := DeviceAmount("/dev/disk/by-id/a:b:10m", Rate)
	if err != nil || d != (spec.DeviceAmount{Path: "/dev/disk/by-id/a:b", Amount: 10 << 20}) {
		t.Errorf("got %+v, %v", d, err)
	}
	for text, number := range map[string]func(string) (uint64, error){
		"/dev/sda": Rate, "sda:1m": Rate, "/dev/sda:": Rate, "/dev/sda:-1": Rate, "/dev/sdb:1m": Count, "/dev/sdc:5000000000": Count,
		"/dev/sdd:9": IOWeight, "/dev/sde:1001": IOWeight,
	} {
		if d, err := DeviceAmount(text, number); err == nil {
			t.Errorf("%q: taken for %+v", text, d)
		}
	}
}

func TestResources(t *testing.T) {
	const mb = 1 << 20
	for name, tc := range map[string]struct {
		r    spec.Resources
		want string
	}{
		"nothing":               {spec.Resources{}, ""},
		"all":                   {spec.Resources{Memory: 64 * mb, MemorySwap: 64 * mb, MemoryReservation: 6 * mb, CPUShares: 2, CPUPeriod: 1000, CPUQuota: 1000, BlkioWeight: 10}, ""},
		"no limits":             {spec.Resources{Memory: -1, MemorySwap: -1, CPUQuota: -1, Pids: -1}, ""},
		"little memory":         {spec.Resources{Memory: 6*mb - 1}, "at least 6m"},
		"little reservation":    {spec.Resources{MemoryReservation: 1}, "at least 6m"},
		"reservation above":     {spec.Resources{Memory: 6 * mb, MemoryReservation: 7 * mb}, "above the memory limit"},
		"swap without memory":   {spec.Resources{MemorySwap: 6 * mb}, "memory limit is needed"},
		"swap less than memory": {spec.Resources{Memory: 8 * mb, MemorySwap: 7 * mb}, "at least the memory limit"},
		"few shares":            {spec.Resources{CPUShares: 1}, "2 to 262144"},
		"many shares":           {spec.Resources{CPUShares: 262145}, "2 to 262144"},
		"short period":          {spec.Resources{CPUPeriod: 999}, "1000 to 1000000"},
		"long period":           {spec.Resources{CPUPeriod: 1000001}, "1000 to 1000000"},
		"short quota":           {spec.Resources{CPUQuota: 999}, "at least 1000"},
		"light weight":          {spec.Resources{BlkioWeight: 9}, "10 to 1000"},
	} {
		t.Run(name, func(t *testing.T) {
			err := Resources(tc.r)
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestPidsLimit(t *testing.T) {
	for in, want := range map[int64]int64{5: 5, 0: -1, -1: -1} {
		if got, err := PidsLimit(in); err != nil || got != want {
			t.Errorf("%d: %d, %v", in, got, err)
		}
	}
	if n, err := PidsLimit(-2); err == nil {
		t.Errorf("-2: taken for %d", n)
	}
}
