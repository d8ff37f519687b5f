// Package egress is rules about where the containers of a network may go outside
// of it, and the memory of which addresses their names turned out to have.
//
// # Theory of operation
//
// A rule allows a name, all names below a domain, or a block of addresses, at one
// port, at ports in a row or at all of them. Where there are rules, what none of them
// allows is refused.
//
// Packets carry addresses, not names. So names are checked where they are looked up:
// the network's resolver passes on only names that a rule allows (Guest.MayAsk), and
// the addresses that come back are allowed for that container from then on
// (Guest.Answered), at the ports of the rules that the name fits. Who owns an allowed
// name therefore chooses addresses, except link-local ones: those are of the host and
// its cloud, and no name out there leads to them.
//
// Nothing here looks into connections: another site at the same address is as
// reachable as the one that was asked for.
package egress

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/nook-containers/nook/libpod/syntax"
	"github.com/nook-containers/nook/pkg/problem"
)

// None is the text that allows nothing.
const None = "none"

// maxRules bounds a list, which is sent in one message and whose rules are numbered in
// a set.
const maxRules = 128

// Rule is one thing that is allowed.
type Rule struct {
	Name        string       // in lower case, without the dot at the end; "": Prefix counts
	Below       bool         // names below Name, in place of it
	Prefix      netip.Prefix // masked
	First, Last uint16       // ports; 0: all, and pings
}

// Parse reads --egress, given as often as one likes, each time with commas between
// rules. Nothing at all is nil; None is an empty list.
func Parse(texts []string) ([]Rule, error) {
	if len(texts) == 0 {
		return nil, nil
	}
	words := strings.Split(strings.Join(texts, ","), ",")
	rules := []Rule{}
	for _, w := range words {
		r, err := parse(w)
		if err != nil {
			return nil, err
		}
		if r.String() == None { // "NONE" and "none." too: no host has this name
			if len(words) > 1 {
				return nil, fmt.Errorf("egress rules %q: %s goes with no other", strings.Join(words, ","), None)
			}
			break
		}
		if !slices.Contains(rules, r) {
			rules = append(rules, r)
		}
	}
	if len(rules) > maxRules {
		return nil, fmt.Errorf("egress rules: %d are too many: want at most %d", len(rules), maxRules)
	}
	return rules, nil
}

// Texts are rules as Parse reads them.
func Texts(rules []Rule) []string {
	if rules == nil {
		return nil
	}
	if len(rules) == 0 {
		return []string{None}
	}
	out := make([]string, 0, len(rules))
	for _, r := range rules {
		out = append(out, r.String())
	}
	return out
}

// String is r as Parse reads it.
func (r Rule) String() string {
	host := r.Name
	switch {
	case r.Name == "" && r.Prefix.IsSingleIP():
		host = r.Prefix.Addr().String()
	case r.Name == "":
		host = r.Prefix.String()
	case r.Below:
		host = "*." + host
	}
	if r.First == 0 {
		return host
	}
	if r.Prefix.Addr().Is6() {
		host = "[" + host + "]"
	}
	if r.First == r.Last {
		return fmt.Sprintf("%s:%d", host, r.First)
	}
	return fmt.Sprintf("%s:%d-%d", host, r.First, r.Last)
}

// errRule says what rules look like.
var errRule = errors.New("want none, or NAME, *.DOMAIN, ADDRESS or ADDRESS/BITS, each with :PORT or :FIRST-LAST behind it or not")

func parse(text string) (r Rule, err error) {
	bad := func(err error) (Rule, error) { return Rule{}, fmt.Errorf("egress rule %q: %w", text, err) }
	host, ports, found := text, "", false
	switch {
	case strings.HasPrefix(text, "["):
		host, ports, found = strings.Cut(text[1:], "]")
		if !found || !strings.Contains(host, ":") || ports != "" && ports[0] != ':' {
			return bad(errRule)
		}
		if found = ports != ""; found {
			ports = ports[1:]
		}
	case strings.Count(text, ":") == 1: // else it is an IPv6 address
		host, ports, found = strings.Cut(text, ":")
	}
	if found {
		if r.First, r.Last, err = portRange(ports); err != nil {
			return bad(err)
		}
	}
	if host == "*" {
		return bad(problem.Hint(errRule, "for every address: 0.0.0.0/0, [::/0]"))
	}
	if host = strings.TrimSuffix(host, "."); isAddress(host) {
		r.Prefix, err = block(host)
	} else {
		r.Name, r.Below = strings.CutPrefix(host, "*.")
		r.Name = strings.ToLower(r.Name)
		err = syntax.HostName(r.Name)
	}
	if err != nil {
		return bad(err)
	}
	return r, nil
}

// isAddress reports whether text is meant to be one: what ends in a number is no name
// (as the URL standard has it, "ends in a number checker").
func isAddress(text string) bool {
	if strings.ContainsAny(text, ":/") {
		return true
	}
	last := text[strings.LastIndexByte(text, '.')+1:]
	return last != "" && strings.Trim(last, "0123456789") == ""
}

func block(text string) (p netip.Prefix, err error) {
	if !strings.Contains(text, "/") {
		a, err := netip.ParseAddr(text)
		text = fmt.Sprintf("%s/%d", a, a.BitLen()) // a zone is an error there
		if err != nil {
			text = ""
		}
	}
	if p, err = netip.ParsePrefix(text); err != nil || p.Addr().Is4In6() {
		return p, errors.New("want an address, or one with its bits, as 10.1.2.0/24")
	}
	return p.Masked(), nil
}

func portRange(text string) (first, last uint16, err error) {
	from, to, isRange := strings.Cut(text, "-")
	if !isRange {
		to = from
	}
	var n [2]uint64
	for i, s := range []string{from, to} {
		if n[i], err = strconv.ParseUint(s, 10, 16); err != nil || n[i] == 0 || s[0] == '+' {
			return 0, 0, fmt.Errorf("port %q: want 1 to 65535", s)
		}
	}
	if n[0] > n[1] {
		return 0, 0, fmt.Errorf("ports %s: want the lower one first", text)
	}
	return uint16(n[0]), uint16(n[1]), nil
}

// names reports whether the rule allows a name, which is in lower case.
func (r Rule) names(name string) bool {
	if r.Name == "" {
		return false
	}
	if !r.Below {
		return name == r.Name
	}
	sub, ok := strings.CutSuffix(name, "."+r.Name)
	return ok && sub != ""
}

// at reports whether the rule is about a port; 0 is something that has none.
func (r Rule) at(port uint16) bool { return r.First == 0 || r.First <= port && port <= r.Last }

// HasNames reports whether rules need a resolver.
func HasNames(rules []Rule) bool {
	return slices.ContainsFunc(rules, func(r Rule) bool { return r.Name != "" })
}
