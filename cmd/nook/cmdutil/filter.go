package cmdutil

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nook-containers/nook/pkg/problem"
)

// Filters are the --filter keys of a command. Each makes a test of a value.
type Filters[R any] map[string]func(value string) (func(R) bool, error)

// all are keys whose values must all match; one match is enough for others.
// Docker and Podman agree on this.
func all(key string) bool { return key == "label" || key == "label!" }

// Compile turns the values of --filter, each KEY=VALUE or KEY!=VALUE, into one
// test: keys must all match, of several values of one key any, and of labels
// all. A key that is not there is an error which names those that are.
func (f Filters[R]) Compile(args []string) (func(R) bool, error) {
	tests := map[string][]func(R) bool{}
	for _, arg := range args {
		key, value, ok := strings.Cut(arg, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("filter %q is not KEY=VALUE", arg)
		}
		newTest, ok := f[key]
		if !ok {
			return nil, problem.Hint(fmt.Errorf("unknown filter %q", key), "filters of this command: %s", strings.Join(slices.Sorted(maps.Keys(f)), ", "))
		}
		test, err := newTest(value)
		if err != nil {
			return nil, fmt.Errorf("filter %q: %w", arg, err)
		}
		tests[key] = append(tests[key], test)
	}
	return func(r R) bool {
		for key, list := range tests {
			match := func(test func(R) bool) bool { return test(r) }
			if all(key) {
				if slices.ContainsFunc(list, func(test func(R) bool) bool { return !test(r) }) {
					return false
				}
			} else if !slices.ContainsFunc(list, match) {
				return false
			}
		}
		return true
	}, nil
}

// Label tests labels against KEY or KEY=VALUE.
func Label(labels map[string]string, filter string) bool {
	key, want, valued := strings.Cut(filter, "=")
	have, ok := labels[key]
	return ok && (!valued || have == want)
}

// LabelFilters are "label" and "label!" for rows with such labels.
func LabelFilters[R any](f Filters[R], labels func(R) map[string]string) {
	f["label"] = func(v string) (func(R) bool, error) {
		return func(r R) bool { return Label(labels(r), v) }, nil
	}
	f["label!"] = func(v string) (func(R) bool, error) {
		return func(r R) bool { return !Label(labels(r), v) }, nil
	}
}

// Bool makes the test of a filter that is true or false.
func Bool[R any](is func(R) bool) func(string) (func(R) bool, error) {
	return func(v string) (func(R) bool, error) {
		want, err := strconv.ParseBool(v)
		if err != nil {
			return nil, errors.New("want true or false")
		}
		return func(r R) bool { return is(r) == want }, nil
	}
}

// Moment reads the value of filters such as until: a Unix time, a date, a time in
// RFC 3339 with or without zone (then the local one), or a duration before now.
func Moment(v string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(v); err == nil {
		return now.Add(-d), nil
	}
	if s, err := strconv.ParseFloat(v, 64); err == nil {
		return time.UnixMilli(int64(s * 1000)), nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02T15:04", "2006-01-02T15", "2006-01-02 15:04:05", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, v, now.Location()); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is neither a time nor a duration", v)
}
