package syntax

import (
	"slices"
	"testing"
)

func TestNamespaces(t *testing.T) {
	for _, tc := range []struct {
		read       func(string) (string, error)
		text, want string
		ok         bool
	}{
		{IPC, "", "", true},
		{IPC, "shareable", "", true},
		{IPC, "private", "private", true},
		{IPC, "none", "none", true},
		{IPC, "host", "host", true},
		{IPC, "container:web", "container:web", true},
		{IPC, "container:", "", false},
		{IPC, "ns:/proc/1/ns/ipc", "", false},
		{PID, "private", "", true},
		{PID, "host", "host", true},
		{PID, "shareable", "", false},
		{UTS, "container:web", "container:web", true},
		{UTS, "none", "", false},
		{CgroupNS, "host", "host", true},
	} {
		got, err := tc.read(tc.text)
		if got != tc.want || (err == nil) != tc.ok {
			t.Errorf("%q: got %q, %v", tc.text, got, err)
		}
	}
}

func TestShare(t *testing.T) {
	for text, want := range map[string][]string{
		"":             nil,
		"none":         nil,
		"net":          {"net"},
		"uts,net,net":  {"net", "uts"},
		"+pid":         {"ipc", "net", "pid", "uts"},
		"+pid,cgroup":  {"cgroup", "ipc", "net", "pid", "uts"},
		"+pid,+cgroup": {"cgroup", "ipc", "net", "pid", "uts"},
	} {
		if got, err := Share(text); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: got %q, %v", text, got, err)
		}
	}
	for _, text := range []string{"pod", "net,", "mnt", "user", "net,+pid", "+"} {
		if got, err := Share(text); err == nil {
			t.Errorf("%q: got %q", text, got)
		}
	}
}
