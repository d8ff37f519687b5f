package limits

import (
	"encoding/json"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestPlan(t *testing.T) {
	for name, tc := range map[string]struct{ json, want string }{
		"nothing":            {`{}`, ""},
		"devices":            {`{"devices":[{"allow":false,"access":"rwm"}]}`, ""},
		"memory":             {`{"memory":{"limit":1000,"swap":1500,"reservation":500}}`, "memory.swap.max=500 memory.max=1000 memory.low=500"},
		"memory, no swap":    {`{"memory":{"limit":1000,"swap":1000}}`, "memory.swap.max=0 memory.max=1000"},
		"memory, all swap":   {`{"memory":{"limit":1000,"swap":-1}}`, "memory.swap.max=max memory.max=1000"},
		"memory, no limit":   {`{"memory":{"limit":-1}}`, "memory.max=max"},
		"cpu":                {`{"cpu":{"shares":1024,"quota":50000,"period":20000,"cpus":"0-1","mems":"0"}}`, "cpu.weight=100 cpu.max=50000 20000 cpuset.cpus=0-1 cpuset.mems=0"},
		"cpu, quota alone":   {`{"cpu":{"quota":50000}}`, "cpu.max=50000 100000"},
		"cpu, period alone":  {`{"cpu":{"period":20000}}`, "cpu.max=max 20000"},
		"cpu, no quota":      {`{"cpu":{"quota":-1}}`, "cpu.max=max 100000"},
		"cpu, idle, burst":   {`{"cpu":{"idle":1,"burst":5}}`, "cpu.idle=1 cpu.max.burst=5"},
		"pids":               {`{"pids":{"limit":7}}`, "pids.max=7"},
		"pids, none":         {`{"pids":{"limit":-1}}`, "pids.max=max"},
		"pids, zero":         {`{"pids":{"limit":0}}`, "pids.max=max"},
		"weight":             {`{"blockIO":{"weight":1000}}`, "io.bfq.weight=1000|io.weight=10000"},
		"least weight":       {`{"blockIO":{"weight":10}}`, "io.bfq.weight=10|io.weight=1"},
		"weight of a device": {`{"blockIO":{"weightDevice":[{"major":8,"minor":0,"weight":50}]}}`, "io.bfq.weight=8:0 50"},
		"throttle":           {`{"blockIO":{"throttleReadBpsDevice":[{"major":8,"minor":1,"rate":9}],"throttleWriteIOPSDevice":[{"major":8,"minor":1,"rate":0}]}}`, "io.max=8:1 rbps=9 io.max=8:1 wiops=max"},
		"huge pages":         {`{"hugepageLimits":[{"pageSize":"2MB","limit":4}]}`, "hugetlb.2MB.max=4"},
		"rdma":               {`{"rdma":{"mlx5_1":{"hcaHandles":3,"hcaObjects":4}}}`, "rdma.max=mlx5_1 hca_handle=3 hca_object=4"},
		"unified":            {`{"unified":{"memory.high":"5","cgroup.max.depth":"2","io.max":"8:0 rbps=1\n8:1 rbps=2"}}`, "cgroup.max.depth=2 io.max=8:0 rbps=1 io.max=8:1 rbps=2 memory.high=5"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Plan(parse(t, tc.json))
			if err != nil {
				t.Fatal(err)
			}
			var words []string
			for _, w := range got {
				s := w.File + "=" + w.Value
				if w.Or != nil {
					s += "|" + w.Or.File + "=" + w.Or.Value
				}
				words = append(words, s)
				if want, _, _ := strings.Cut(w.File, "."); w.Controller != want && want != "cgroup" || want == "cgroup" && w.Controller != "" {
					t.Errorf("%s: controller %q", w.File, w.Controller)
				}
			}
			if s := strings.Join(words, " "); s != tc.want {
				t.Errorf("got  %s\nwant %s", s, tc.want)
			}
		})
	}
	if got, err := Plan(nil); err != nil || len(got) != 0 {
		t.Errorf("no resources: %v, %v", got, err)
	}
}

func parse(t *testing.T, text string) *specs.LinuxResources {
	t.Helper()
	var r specs.LinuxResources
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		t.Fatal(err)
	}
	return &r
}

func TestPlanRefuses(t *testing.T) {
	for text, want := range map[string]string{
		`{"memory":{"swappiness":10}}`:                     "only cgroup v1",
		`{"memory":{"disableOOMKiller":true}}`:             "only cgroup v1",
		`{"memory":{"kernel":5}}`:                          "only cgroup v1",
		`{"memory":{"swap":10}}`:                           "needs memory.limit",
		`{"memory":{"limit":20,"swap":10}}`:                "less than memory.limit",
		`{"cpu":{"realtimeRuntime":5}}`:                    "only cgroup v1",
		`{"blockIO":{"weight":5}}`:                         "want 10 to 1000",
		`{"blockIO":{"leafWeight":5}}`:                     "only cgroup v1",
		`{"blockIO":{"weightDevice":[{"weight":2000}]}}`:   "want 10 to 1000",
		`{"network":{"classID":1}}`:                        "only cgroup v1",
		`{"unified":{"../memory.max":"1"}}`:                "not the name",
		`{"unified":{"memory":"1"}}`:                       "not the name",
		`{"unified":{"cgroup.procs":"1"}}`:                 "not a limit",
		`{"unified":{"cgroup.subtree_control":"+memory"}}`: "not a limit",
		`{"unified":{".memory":"1"}}`:                      "not the name",
	} {
		if got, err := Plan(parse(t, text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v; want an error with %q", text, got, err, want)
		}
	}
}

// The ends and the default of both scales meet, and more is never less.
func TestWeight(t *testing.T) {
	for shares, want := range map[uint64]uint64{0: 1, 2: 1, 1024: 100, 262144: 10000, 1 << 40: 10000} {
		if got := Weight(shares); got != want {
			t.Errorf("%d shares: weight %d, want %d", shares, got, want)
		}
	}
	last := uint64(0)
	for shares := uint64(2); shares < 262144; shares += 97 {
		w := Weight(shares)
		if w < last || w < 1 || w > 10000 {
			t.Fatalf("%d shares: weight %d after %d", shares, w, last)
		}
		last = w
	}
}
