package oci

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/nook-containers/nook/pkg/oci/bundle"
)

// FuzzConfig reads a bundle's config.json and plans it. What is planned has a
// command, and can be handed to init.
func FuzzConfig(f *testing.F) {
	f.Add([]byte(`{"ociVersion":"1.2.0","process":{"args":["sh"],"cwd":"/","rlimits":[{"type":"RLIMIT_NOFILE","soft":1,"hard":2}],"capabilities":{"bounding":["CAP_KILL"]}},
"root":{"path":"rootfs"},"mounts":[{"destination":"/proc","type":"proc","options":["ro","mode=755"]}],
"linux":{"namespaces":[{"type":"pid"},{"type":"user"}],"uidMappings":[{"containerID":0,"hostID":1,"size":1}],"devices":[{"path":"/dev/x","type":"c","major":1,"minor":3}],"sysctl":{"kernel.shm_rmid_forced":"1"},"maskedPaths":["/proc/kcore"]}}`))
	f.Add([]byte(`{"ociVersion":"1.0","process":{"args":[""],"cwd":"x","scheduler":{"policy":"SCHED_IDLE"},"ioPriority":{"class":"IOPRIO_CLASS_BE","priority":9}},"hooks":{"prestart":[{"path":"/x","timeout":-1}]},"linux":{"timeOffsets":{"boottime":{"secs":-1}},"personality":{"domain":"LINUX32"}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := bundle.Parse(data)
		if err != nil {
			return
		}
		b, err := newBlueprint(&Config{ID: "x", Bundle: "/bundle", Spec: s})
		if err != nil {
			if strings.TrimSpace(err.Error()) == "" {
				t.Error("an error without words")
			}
			return
		}
		if _, err := json.Marshal(b.plan); err != nil {
			t.Error(err)
		}
		if len(s.Process.Args) == 0 {
			t.Errorf("no command in %s", data)
		}
	})
}
