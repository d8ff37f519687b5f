package registrytest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
)

// Tokens makes a server want bearer tokens and give them out at /token.
type Tokens struct {
	User, Password string // "": anybody gets a token
	IdentityToken  string // the refresh token that gets one by POST
	Uses           int    // requests that a token is good for; 0: any number
	Realm          string // default: /token of the server that asks
	Field          string // of the answer: "token" (default) or "access_token"

	mu     sync.Mutex
	issued int
	left   map[string]int
}

// Issued says how many tokens were given out.
func (k *Tokens) Issued() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.issued
}

// Fault returns the tokens as something to inject.
func (k *Tokens) Fault() *Fault {
	return NewFault(All, Always, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.URL.Path == "/token" {
			k.give(w, r)
			return
		}
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if k.use(token) {
			next.ServeHTTP(w, r)
			return
		}
		realm := k.Realm
		if realm == "" {
			scheme := "http"
			if r.TLS != nil {
				scheme = "https"
			}
			realm = scheme + "://" + r.Host + "/token"
		}
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm=%q,service="test",scope="repository:x:pull"`, realm))
		unauthorized(w)
	})
}

func (k *Tokens) use(token string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	left, ok := k.left[token]
	if !ok || left == 0 {
		return false
	}
	k.left[token] = left - 1
	return true
}

func (k *Tokens) give(w http.ResponseWriter, r *http.Request) {
	if !k.may(r) {
		unauthorized(w)
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.issued++
	token := fmt.Sprintf("t%d", k.issued)
	if k.left == nil {
		k.left = map[string]int{}
	}
	k.left[token] = -1
	if k.Uses > 0 {
		k.left[token] = k.Uses
	}
	field := k.Field
	if field == "" {
		field = "token"
	}
	_ = json.NewEncoder(w).Encode(map[string]any{field: token, "expires_in": 60})
}

func (k *Tokens) may(r *http.Request) bool {
	if r.Method == http.MethodPost {
		return k.IdentityToken != "" && r.FormValue("refresh_token") == k.IdentityToken && r.FormValue("grant_type") == "refresh_token"
	}
	user, password, _ := r.BasicAuth()
	return k.User == "" && k.IdentityToken == "" || k.User != "" && user == k.User && password == k.Password
}
