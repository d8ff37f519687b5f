package cmdutil

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nook-containers/nook/pkg/problem"
)

type thing struct {
	name   string
	on     bool
	labels map[string]string
}

func thingFilters() Filters[thing] {
	f := Filters[thing]{
		"name": func(v string) (func(thing) bool, error) {
			if v == "" {
				return nil, errors.New("empty")
			}
			return func(t thing) bool { return t.name == v }, nil
		},
		"on": Bool(func(t thing) bool { return t.on }),
	}
	LabelFilters(f, func(t thing) map[string]string { return t.labels })
	return f
}

func TestFilters(t *testing.T) {
	things := []thing{
		{"a", true, map[string]string{"x": "1", "y": "2"}},
		{"b", false, map[string]string{"x": "1"}},
		{"c", true, nil},
	}
	for _, tc := range []struct{ args, want string }{
		{"", "abc"},
		{"name=a", "a"},
		{"name=a name=c", "ac"},
		{"name=a on=false", ""},
		{"on=true", "ac"},
		{"on=0", "b"},
		{"label=x", "ab"},
		{"label=x=1 label=y=2", "a"},
		{"label!=y", "bc"},
		{"label!=x=1", "c"},
		{"label!=x label!=y", "c"},
		{"label=x label!=y name=b", "b"},
	} {
		test, err := thingFilters().Compile(strings.Fields(tc.args))
		if err != nil {
			t.Errorf("%s: %v", tc.args, err)
			continue
		}
		got := ""
		for _, th := range things {
			if test(th) {
				got += th.name
			}
		}
		if got != tc.want {
			t.Errorf("%q selects %q, want %q", tc.args, got, tc.want)
		}
	}
	for _, bad := range []string{"name", "=x", "nom=a", "on=maybe", "name="} {
		_, err := thingFilters().Compile([]string{bad})
		if err == nil {
			t.Errorf("%q was taken", bad)
		}
		if bad == "nom=a" && !strings.Contains(problem.HintOf(err), "label, label!, name, on") {
			t.Errorf("hint %q does not list the filters", problem.HintOf(err))
		}
	}
}

func TestMoment(t *testing.T) {
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	for v, want := range map[string]time.Time{
		"2h":                   now.Add(-2 * time.Hour),
		"1700000000":           time.Unix(1_700_000_000, 0),
		"2026-05-01":           time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC),
		"2026-05-01T10:00":     time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC),
		"2026-05-01T10:00:00Z": time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC),
	} {
		if got, err := Moment(v, now); err != nil || !got.Equal(want) {
			t.Errorf("Moment(%s) = %v, %v; want %v", v, got, err, want)
		}
	}
	if _, err := Moment("yesterday", now); err == nil {
		t.Error("a word was taken")
	}
}
