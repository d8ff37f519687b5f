package regconf

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nook-containers/nook/pkg/problem"
)

const policySample = `{
  "default": [{"type": "reject"}],
  "transports": {
    "docker": {
      "open.example": [{"type": "insecureAcceptAnything"}],
      "open.example/closed": [{"type": "reject"}],
      "open.example/closed/but": [{"type": "insecureAcceptAnything"}],
      "open.example/one:tag": [{"type": "reject"}],
      "signed.example": [{"type": "insecureAcceptAnything"}, {"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/k"}],
      "*.wild.example": [{"type": "insecureAcceptAnything"}],
      "no.wild.example": [{"type": "reject"}]
    },
    "docker-daemon": {"": [{"type": "insecureAcceptAnything"}]}
  }
}`

func TestPolicyCheck(t *testing.T) {
	p, err := ParsePolicy("/p.json", []byte(policySample))
	if err != nil {
		t.Fatal(err)
	}
	for in, want := range map[string]string{
		"open.example/x:1":          "",
		"open.example/closed:1":     "rejects open.example/closed",
		"open.example/closed/x:1":   "rejects open.example/closed",
		"open.example/closed/but:1": "",
		"open.example/closedness:1": "",
		"open.example/one:tag":      "rejects open.example/one:tag",
		"open.example/one:other":    "",
		"signed.example/x:1":        "wants a signature (signedBy)",
		"a.b.wild.example/x:1":      "",
		"no.wild.example/x:1":       "rejects no.wild.example",
		"wild.example/x:1":          "rejects everything",
		"other.example/x:1":         "rejects everything",
		"open.example:5000/x:1":     "rejects everything",
	} {
		err := p.Check(in[:strings.LastIndex(in, ":")], in)
		if want == "" && err != nil {
			t.Errorf("%s: %v", in, err)
		}
		if want != "" && (!errors.Is(err, ErrPolicy) || !strings.Contains(err.Error(), want) || problem.HintOf(err) == "") {
			t.Errorf("%s: got %v, want %q", in, err, want)
		}
	}
	if err := (Policy{}).Check("x.example/y", "x.example/y:1"); err != nil {
		t.Errorf("without a file: %v", err)
	}
}

func TestPolicyIsStrict(t *testing.T) {
	for _, text := range []string{
		``, `{`, `{}`, `{"default":[]}`, `{"default":[{"type":"perhaps"}]}`, `{"default":[{}]}`,
		`{"default":[{"type":"reject"}],"extra":1}`, `{"default":[{"type":"reject"}],"transports":{"docker":{"x":[]}}}`,
		`{"default":[{"type":"reject"}],"transports":{"docker":{"x":[{"type":"sometimes"}]}}}`,
	} {
		if p, err := ParsePolicy("/p.json", []byte(text)); err == nil || !strings.Contains(err.Error(), "/p.json") {
			t.Errorf("%s: %+v, %v", text, p, err)
		}
	}
}

func TestLoadPolicyPrefersTheUsers(t *testing.T) {
	dir := write(t, map[string]string{"containers/policy.json": policySample})
	t.Setenv("XDG_CONFIG_HOME", dir)
	if p, err := LoadPolicy(); err != nil || p.Path != filepath.Join(dir, "containers/policy.json") {
		t.Errorf("%+v, %v", p, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "containers/policy.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadPolicy(); err == nil {
		t.Error("a broken policy was taken for none")
	}
}

func FuzzParsePolicy(f *testing.F) {
	f.Add([]byte(policySample), "open.example/closed/x")
	f.Fuzz(func(t *testing.T, data []byte, name string) {
		p, err := ParsePolicy("/p", data)
		if err != nil {
			return
		}
		if _, rules := p.rulesFor(name, name+":1"); len(rules) == 0 {
			t.Error("an image without any rule")
		}
	})
}
