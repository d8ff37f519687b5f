package registry

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"unicode"
)

// FuzzAnswers has what a registry says beside manifests: errors, tokens, the link to
// the next page. Whatever it is, nothing of it reaches a terminal or a header raw,
// and it chooses neither where we go next nor for how long we wait.
func FuzzAnswers(f *testing.F) {
	f.Add([]byte(`{"errors":[{"code":"DENIED","message":"no\u001b[2J"}]}`), "120", `</v2/x/tags/list?n=2&last=a>; rel="next"`)
	f.Add([]byte(`{"token":"a\r\nX: y","access_token":"b"}`), "99999999999999999", `<https://evil/?a#b>; rel=next`)
	f.Fuzz(func(t *testing.T, body []byte, retry, link string) {
		resp := &http.Response{
			StatusCode: http.StatusForbidden, Header: http.Header{"Retry-After": {retry}},
			Body: io.NopCloser(bytes.NewReader(body)), Request: &http.Request{URL: &url.URL{Scheme: "https", Host: "r", Path: "/v2/"}},
		}
		defer resp.Body.Close()
		e := readFailure(resp)
		if e.after < 0 || strings.ContainsFunc(e.Message, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%q, %q: %v and %q", body, retry, e.after, e.Message)
		}
		if next := nextQuery(link); next != "" && !strings.HasPrefix(next, "?") {
			t.Errorf("next page %q of %q", next, link)
		}
		if _, err := ParseCredentials(string(body)); err == nil && !bytes.Contains(body, []byte(":")) {
			t.Errorf("credentials of %q", body)
		}
		if p, err := ParsePlatform(string(body)); err == nil && p.OS == "" && p.Architecture == "" {
			t.Errorf("platform of %q", body)
		}
	})
}
