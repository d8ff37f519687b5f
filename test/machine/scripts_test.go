package machine

import (
	"reflect"
	"testing"
)

func TestParseScript(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		want Script
		bad  bool
	}{
		"none":         {"# a test\n\nexec x\n", Script{}, false},
		"both":         {"# a test\n# machines: sandbox vm\n\nexec x\n", Script{Machines: []string{"sandbox", "vm"}}, false},
		"after":        {"# a\n# machines: vm, after a reboot\n", Script{Machines: []string{"vm"}, AfterReboot: true}, false},
		"not at first": {"# a\nexec x\n# machines: vm\n", Script{}, false},
		"images":       {"# a\nexec nook pull $REGISTRY/x\nexec nook load -i $DEBIAN\n", Script{Images: []string{"debian", "registry"}}, false},
		"unknown":      {"# a\n# machines: moon\n", Script{}, true},
		"empty":        {"# a\n# machines: , after a reboot\n", Script{}, true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseScript("", tc.text)
			if (err != nil) != tc.bad {
				t.Fatalf("error %v", err)
			}
			if !tc.bad && !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}

func TestChoose(t *testing.T) {
	all := []Script{{Name: "a", Machines: []string{VM}}, {Name: "b"}, {Name: "ab", Machines: []string{Sandbox, VM}}, {Name: "c", Machines: []string{Sandbox}}}
	for name, tc := range map[string]struct {
		kind, expression string
		want             []string
	}{
		"by mark":     {VM, "", []string{"a", "ab"}},
		"any mark":    {Every, "", []string{"a", "ab", "c"}},
		"other mark":  {Sandbox, "", []string{"ab", "c"}},
		"by name":     {Sandbox, "b", []string{"b", "ab"}},
		"exact":       {VM, "^b$", []string{"b"}},
		"none":        {VM, "nosuch", nil},
		"no such":     {"moon", "", nil},
		"bad pattern": {VM, "(", nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Choose(all, tc.kind, tc.expression)
			if (err == nil) != (tc.want != nil) {
				t.Fatalf("error %v", err)
			}
			var names []string
			for _, s := range got {
				names = append(names, s.Name)
			}
			if !reflect.DeepEqual(names, tc.want) {
				t.Errorf("got %v, want %v", names, tc.want)
			}
		})
	}
}
