package ocispec

import (
	"encoding/json"
	"testing"

	"github.com/nook-containers/nook/libpod/spec"
)

func TestResources(t *testing.T) {
	devices := map[string]DeviceNumber{"/dev/a": {8, 1}}
	for name, tc := range map[string]struct {
		r    spec.Resources
		want string
	}{
		"nothing":        {spec.Resources{}, `{"memory":{},"cpu":{},"pids":{"limit":2048},"blockIO":{}}`},
		"memory":         {spec.Resources{Memory: 100, Pids: -1}, `{"memory":{"limit":100,"swap":200},"cpu":{},"pids":{"limit":-1},"blockIO":{}}`},
		"no limit again": {spec.Resources{Memory: -1, Pids: 3}, `{"memory":{"limit":-1,"swap":-1},"cpu":{},"pids":{"limit":3},"blockIO":{}}`},
		"swap":           {spec.Resources{Memory: 100, MemorySwap: 150, MemoryReservation: 50, Pids: 1}, `{"memory":{"limit":100,"reservation":50,"swap":150},"cpu":{},"pids":{"limit":1},"blockIO":{}}`},
		"cpu": {
			spec.Resources{Pids: 1, CPUShares: 5, CPUQuota: 6, CPUPeriod: 7, CpusetCpus: "0", CpusetMems: "1"},
			`{"memory":{},"cpu":{"shares":5,"quota":6,"period":7,"cpus":"0","mems":"1"},"pids":{"limit":1},"blockIO":{}}`,
		},
		"block IO": {
			spec.Resources{Pids: 1, BlkioWeight: 10, BlkioWeightDevices: []spec.DeviceAmount{{Path: "/dev/a", Amount: 11}}, ReadBps: []spec.DeviceAmount{{Path: "/dev/a", Amount: 12}}, WriteIOps: []spec.DeviceAmount{{Path: "/dev/a", Amount: 13}}},
			`{"memory":{},"cpu":{},"pids":{"limit":1},"blockIO":{"weight":10,"weightDevice":[{"major":8,"minor":1,"weight":11}],"throttleReadBpsDevice":[{"major":8,"minor":1,"rate":12}],"throttleWriteIOPSDevice":[{"major":8,"minor":1,"rate":13}]}}`,
		},
		"unified": {spec.Resources{Pids: 1, Unified: map[string]string{"a.b": "c"}}, `{"memory":{},"cpu":{},"pids":{"limit":1},"blockIO":{},"unified":{"a.b":"c"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := json.Marshal(Resources(tc.r, devices))
			if err != nil || string(got) != tc.want {
				t.Errorf("got  %s, %v\nwant %s", got, err, tc.want)
			}
		})
	}
}
