package registry

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/nook-containers/nook/pkg/config/regconf"
	"github.com/nook-containers/nook/pkg/problem"
)

// ErrUnauthorized is a registry that does not let these credentials, or nobody
// without credentials, do this.
var ErrUnauthorized = errors.New("unauthorized")

// answered looks at an answer and reports whether the request is worth sending
// again with the authorization that was made meanwhile. made tells which
// authorization the request carried.
func (s *session) answered(ctx context.Context, resp *http.Response, made int, t *try) (again bool, err error) {
	// A challenge from where the registry redirected to is not for us.
	if resp.Request.URL.Host != serverOf(s.ep.Ref.Host) {
		return false, nil
	}
	switch resp.StatusCode {
	case http.StatusUnauthorized:
		c, ok := pickChallenge(resp.Header)
		if !ok {
			return false, s.unauthorized(readFailure(resp))
		}
		return s.authenticate(ctx, c, made, resp, t)
	case http.StatusForbidden, http.StatusNotFound:
		// Some registries hide what anonymous users must not see instead of
		// asking who they are; the base address always asks.
		return s.ping(ctx, made, t)
	}
	return false, nil
}

// ping asks "/v2/" for a challenge, once, if there are credentials that nobody
// has asked for.
func (s *session) ping(ctx context.Context, made int, t *try) (bool, error) {
	s.mu.Lock()
	skip := s.pinged || made > 0
	s.pinged = true
	s.mu.Unlock()
	if skip {
		return false, nil
	}
	creds, err := s.credentials(ctx)
	if err != nil || creds.empty() {
		return false, err
	}
	resp, err := s.getOnce(ctx, "/v2/", nil, "", t)
	if err != nil {
		return false, err
	}
	defer drain(resp)
	c, ok := pickChallenge(resp.Header)
	if resp.StatusCode != http.StatusUnauthorized || !ok {
		return false, nil
	}
	return s.authenticate(ctx, c, made, resp, t)
}

// authenticate answers c. Several requests may be refused at once when a token
// expires: the first makes the new one, the others find it made. A request that
// was refused with an authorization as fresh as that is refused for good.
func (s *session) authenticate(ctx context.Context, c challenge, made int, resp *http.Response, t *try) (bool, error) {
	creds, err := s.credentials(ctx)
	if err != nil {
		return false, err
	}
	s.authMu.Lock()
	defer s.authMu.Unlock()
	if _, now := s.authorization(); now != made {
		return true, nil
	}
	if made > 0 && (s.authBy.scheme == "basic" || t.authenticated == made) {
		return false, s.unauthorized(readFailure(resp))
	}
	auth, err := s.answer(ctx, c, creds, t)
	if err != nil {
		return false, err
	}
	if auth == "" {
		return false, s.unauthorized(readFailure(resp))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.auth, s.authBy = auth, c
	s.attempt++
	t.authenticated = s.attempt
	return true, nil
}

func (s *session) answer(ctx context.Context, c challenge, creds Credentials, t *try) (string, error) {
	switch {
	case creds.RegistryToken != "":
		return "Bearer " + creds.RegistryToken, nil
	case c.scheme == "bearer":
		token, err := s.fetchToken(ctx, c, creds, t)
		if err != nil {
			return "", err
		}
		return "Bearer " + token, nil
	case creds.Username != "":
		return basic(creds), nil
	}
	return "", nil
}

func basic(c Credentials) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(c.Username+":"+c.Password))
}

// credentials looks them up once.
func (s *session) credentials(ctx context.Context) (Credentials, error) {
	s.mu.Lock()
	known := s.creds
	s.mu.Unlock()
	if known != nil {
		return *known, nil
	}
	c, err := s.c.o.Keychain.Lookup(ctx, s.ep)
	if err != nil {
		return c, err
	}
	s.mu.Lock()
	s.creds = &c
	s.mu.Unlock()
	return c, nil
}

// fetchToken exchanges the credentials for a token that can pull this repository
// (distribution specification, "Token Authentication").
func (s *session) fetchToken(ctx context.Context, c challenge, creds Credentials, t *try) (string, error) {
	req, err := s.tokenRequest(ctx, c, creds)
	if err != nil {
		return "", err
	}
	req.Header.Set("User-Agent", userAgent)
	disarm := t.arm()
	resp, err := s.token.Do(req)
	disarm()
	if err != nil {
		return "", fmt.Errorf("fetch token: %w", err)
	}
	defer drain(resp)
	if resp.StatusCode != http.StatusOK {
		e := readFailure(resp)
		if resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden || resp.StatusCode == http.StatusBadRequest {
			return "", s.refused(e, creds)
		}
		return "", fmt.Errorf("fetch token: %w", e)
	}
	return parseToken(resp, t)
}

func parseToken(resp *http.Response, t *try) (string, error) {
	body, err := readCapped(t.body(resp.Body), maxToken)
	if err != nil {
		return "", fmt.Errorf("fetch token: %w", err)
	}
	var answer struct {
		Token       string `json:"token"`
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return "", errors.New("fetch token: answer is not the JSON of a token")
	}
	token := answer.Token
	if token == "" {
		token = answer.AccessToken
	}
	if token == "" || strings.ContainsAny(token, "\r\n") {
		return "", errors.New("fetch token: no token in the answer")
	}
	return token, nil
}

// tokenRequest builds the request to the realm of c. The scope is what we want,
// not what the challenge says: a registry must not have us ask for more.
func (s *session) tokenRequest(ctx context.Context, c challenge, creds Credentials) (*http.Request, error) {
	realm, err := url.Parse(c.params["realm"])
	if err != nil || realm.Host == "" {
		return nil, fmt.Errorf("fetch token: registry names no token server: %q", printable(c.params["realm"]))
	}
	if err := s.checkRealm(realm); err != nil {
		return nil, fmt.Errorf("fetch token: %w", err)
	}
	scope := "repository:" + s.ep.Ref.Path + ":pull"
	q := realm.Query()
	if creds.IdentityToken != "" {
		form := url.Values{
			"grant_type": {"refresh_token"}, "refresh_token": {creds.IdentityToken},
			"service": {c.params["service"]}, "scope": {scope}, "client_id": {userAgent},
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, realm.String(), strings.NewReader(form.Encode()))
		if err == nil {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		return req, err
	}
	if service := c.params["service"]; service != "" {
		q.Set("service", service)
	}
	q.Set("scope", scope)
	realm.RawQuery = q.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, realm.String(), nil)
	if err == nil && creds.Username != "" {
		req.Header.Set("Authorization", basic(creds))
	}
	return req, err
}

// checkRealm is checkForeign, and stricter: over plain HTTP credentials go only
// where the registry itself is spoken to that way.
func (s *session) checkRealm(u *url.URL) error {
	if u.Scheme == "http" && s.url("/").Scheme != "http" {
		return fmt.Errorf("registry names token server %s: want https", u.Redacted())
	}
	return s.checkForeign(u)
}

// unauthorized explains a 401 of the registry.
func (s *session) unauthorized(e *StatusError) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var creds Credentials
	if s.creds != nil {
		creds = *s.creds
	}
	return s.refused(e, creds)
}

func (s *session) refused(e *StatusError, creds Credentials) error {
	host := s.ep.Ref.Host
	if !creds.empty() {
		return problem.Hint(fmt.Errorf("%w: %s refused the credentials from %s: %w", ErrUnauthorized, host, creds.Source, e),
			"check these credentials, and that they may pull %s", s.ep.Ref.Name())
	}
	err := fmt.Errorf("%w: %s wants credentials and none were found: %w", ErrUnauthorized, host, e)
	file, ferr := regconf.PersistentAuthFile()
	if ferr != nil {
		return problem.Hint(err, "check the name, or pass --creds USER:PASSWORD")
	}
	return problem.Hint(err, `check the name, pass --creds USER:PASSWORD, or write {"auths":{"%s":{"auth":"BASE64 OF USER:PASSWORD"}}} to %s`, host, file)
}
