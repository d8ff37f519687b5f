package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// Tags lists the tags of ref's repository at its primary location, in the order
// of the registry (distribution specification, "Listing Tags").
func (c *Client) Tags(ctx context.Context, ref Reference) ([]string, error) {
	eps, err := c.endpoints(ref)
	if err != nil {
		return nil, err
	}
	s, err := c.session(eps[len(eps)-1])
	if err != nil {
		return nil, err
	}
	path := s.repoPath("tags", "list")
	var tags []string
	for query, page := "", 0; ; page++ {
		if page == maxPages {
			return nil, fmt.Errorf("list tags of %s: more than %d pages", ref.Name(), maxPages)
		}
		more, next, err := s.tagPage(ctx, path+query)
		if err != nil {
			return nil, fmt.Errorf("list tags of %s: %w", ref.Name(), err)
		}
		if tags = append(tags, more...); next == "" || next == query {
			return tags, nil
		}
		query = next
	}
}

func (s *session) tagPage(ctx context.Context, path string) (tags []string, next string, err error) {
	resp, err := s.fetch(ctx, path, nil, http.StatusOK)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	body, err := readCapped(resp.Body, maxTagList)
	if err != nil {
		return nil, "", err
	}
	var answer struct{ Tags []string }
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, "", errors.New("answer is not the JSON of a tag list")
	}
	for _, t := range answer.Tags {
		if !validTag(t) {
			return nil, "", fmt.Errorf("registry has tag %q", printable(t))
		}
	}
	return answer.Tags, nextQuery(resp.Header.Get("Link")), nil
}

// nextQuery returns the query of the next page. Only that is taken from the
// header: where the list is, is not for the registry to say.
func nextQuery(link string) string {
	target, params, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(link), "<"), ">")
	if !ok || !strings.Contains(params, "next") {
		return ""
	}
	u, err := url.Parse(target)
	if err != nil || u.RawQuery == "" {
		return ""
	}
	return "?" + u.RawQuery
}
