package registry

import (
	"net/http"
	"strings"
)

// challenge is one WWW-Authenticate challenge (RFC 9110, section 11.6.1).
type challenge struct {
	scheme string            // lower case
	params map[string]string // names in lower case
}

// pickChallenge returns the first bearer challenge, else the first basic one: a
// registry that offers both gives out tokens that are narrower than a password.
func pickChallenge(h http.Header) (challenge, bool) {
	var basic *challenge
	for _, line := range h.Values("WWW-Authenticate") {
		for _, c := range parseChallenges(line) {
			if c.scheme == "bearer" {
				return c, true
			}
			if c.scheme == "basic" && basic == nil {
				basic = &c
			}
		}
	}
	if basic != nil {
		return *basic, true
	}
	return challenge{}, false
}

// parseChallenges splits one header line, which may hold several challenges. It
// stops at the first byte that fits nowhere and returns what came before.
func parseChallenges(s string) []challenge {
	var list []challenge
	for {
		s = strings.TrimLeft(s, " \t,")
		word, rest := takeToken(s)
		if word == "" {
			return list
		}
		if after := strings.TrimLeft(rest, " \t"); strings.HasPrefix(after, "=") && len(list) > 0 {
			value, rest, ok := takeValue(strings.TrimLeft(after[1:], " \t"))
			if !ok {
				return list
			}
			c := list[len(list)-1]
			if name := strings.ToLower(word); !has(c.params, name) { // the first one counts
				c.params[name] = value
			}
			s = rest
			continue
		}
		list = append(list, challenge{scheme: strings.ToLower(word), params: map[string]string{}})
		s = rest
	}
}

func has[V any](m map[string]V, k string) bool { _, ok := m[k]; return ok }

// takeToken splits a token (RFC 9110, section 5.6.2) off s.
func takeToken(s string) (token, rest string) {
	n := 0
	for n < len(s) && isTokenByte(s[n]) {
		n++
	}
	return s[:n], s[n:]
}

// takeValue splits a token or quoted string off s. Tokens are read generously:
// registries send bare URLs.
func takeValue(s string) (value, rest string, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		n := strings.IndexAny(s, ", \t")
		if n < 0 {
			n = len(s)
		}
		return s[:n], s[n:], n > 0
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; c {
		case '"':
			return b.String(), s[i+1:], true
		case '\\':
			if i++; i == len(s) {
				return "", "", false
			}
			b.WriteByte(s[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", "", false // the closing quote is missing
}

func isTokenByte(c byte) bool {
	return c > ' ' && c < 0x7f && !strings.ContainsRune(`()<>@,;:\"/[]?={}`, rune(c))
}
