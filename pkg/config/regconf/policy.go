package regconf

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/nook-containers/nook/pkg/problem"
)

// ErrPolicy is an image that policy.json does not let in.
var ErrPolicy = errors.New("refused by the signature policy")

// Policy is containers-policy.json(5): which images may be pulled. The zero value
// lets everything in, which is what hosts without the file mean.
type Policy struct {
	Path       string // "" without a file
	Default    []PolicyRule
	Transports map[string]map[string][]PolicyRule // transport, then scope
}

// PolicyRule is one requirement; all of a list must hold.
type PolicyRule struct {
	Type string `json:"type"`
}

// LoadPolicy reads policy.json of the user's configuration directory, else
// /etc/containers/policy.json.
func LoadPolicy() (Policy, error) {
	conf, err := configHome()
	if err != nil {
		return Policy{}, err
	}
	for _, path := range []string{filepath.Join(conf, "containers", "policy.json"), "/etc/containers/policy.json"} {
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return Policy{}, fmt.Errorf("read signature policy: %w", err)
		}
		return ParsePolicy(path, data)
	}
	return Policy{}, nil
}

// ParsePolicy reads the text of a policy.json. It refuses what it does not know:
// a rule that is not understood must not be taken for one that holds.
func ParsePolicy(path string, data []byte) (Policy, error) {
	p := Policy{Path: path}
	var file struct {
		Default    []json.RawMessage                       `json:"default"`
		Transports map[string]map[string][]json.RawMessage `json:"transports"`
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&file); err != nil {
		return Policy{}, fmt.Errorf("read signature policy: %s: %w", path, err)
	}
	var err error
	if p.Default, err = parseRules(file.Default); err != nil {
		return Policy{}, fmt.Errorf("read signature policy: %s: default: %w", path, err)
	}
	p.Transports = map[string]map[string][]PolicyRule{}
	for transport, scopes := range file.Transports {
		p.Transports[transport] = map[string][]PolicyRule{}
		for scope, raw := range scopes {
			if p.Transports[transport][scope], err = parseRules(raw); err != nil {
				return Policy{}, fmt.Errorf("read signature policy: %s: %s %q: %w", path, transport, scope, err)
			}
		}
	}
	return p, nil
}

func parseRules(raw []json.RawMessage) ([]PolicyRule, error) {
	if len(raw) == 0 {
		return nil, errors.New("want at least one rule")
	}
	rules := make([]PolicyRule, len(raw))
	for i, r := range raw {
		if err := json.Unmarshal(r, &rules[i]); err != nil {
			return nil, err
		}
		switch rules[i].Type {
		case "insecureAcceptAnything", "reject", "signedBy", "signedBaseLayer", "sigstoreSigned":
		default:
			return nil, fmt.Errorf("rule of unknown type %q", rules[i].Type)
		}
	}
	return rules, nil
}

// Check says whether the image may be pulled from a registry. full is its name
// with tag and digest, name the same without. The most specific scope of the
// "docker" transport decides: the image, its repository,
// the namespaces above it, its host, *.domain, then "", then the default.
//
// Signatures are not verified, so an image that needs one is refused.
func (p Policy) Check(name, full string) error {
	if p.Path == "" {
		return nil
	}
	scope, rules := p.rulesFor(name, full)
	for _, r := range rules {
		switch r.Type {
		case "insecureAcceptAnything":
		case "reject":
			return problem.Hint(fmt.Errorf("%w: %s rejects %s", ErrPolicy, p.Path, scope), "to allow it, edit %s", p.Path)
		default:
			return problem.Hint(fmt.Errorf("%w: %s wants a signature (%s) for %s, and nook cannot verify signatures yet", ErrPolicy, p.Path, r.Type, scope),
				"pull it with: skopeo copy docker://%s oci-archive:image.tar; then: nook load -i image.tar", full)
		}
	}
	return nil
}

func (p Policy) rulesFor(name, full string) (scope string, rules []PolicyRule) {
	scopes := []string{full}
	for s := name; ; {
		scopes = append(scopes, s)
		i := strings.LastIndexByte(s, '/')
		if i < 0 {
			break
		}
		s = s[:i]
	}
	host := scopes[len(scopes)-1]
	for {
		_, domain, ok := strings.Cut(host, ".")
		if !ok {
			break
		}
		scopes = append(scopes, "*."+domain)
		host = domain
	}
	for _, s := range append(scopes, "") {
		if rules, ok := p.Transports["docker"][s]; ok {
			if s == "" {
				s = "every registry"
			}
			return s, rules
		}
	}
	return "everything", p.Default
}
