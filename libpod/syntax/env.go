package syntax

import (
	"fmt"
	"strings"
)

// Env reads one -e: NAME=VALUE, NAME (the host's value, nothing if unset), or
// NAME* (every host variable of that prefix). host is os.Environ's list.
func Env(text string, host []string) ([]string, error) {
	name, _, hasValue := strings.Cut(text, "=")
	switch {
	case name == "" || strings.Contains(text, "\x00"): // execve(2) would end it there
		return nil, bad("environment variable", text, "want NAME=VALUE, NAME or PREFIX*")
	case hasValue:
		return []string{text}, nil
	}
	prefix, wild := strings.CutSuffix(name, "*")
	var out []string
	for _, h := range host {
		n, _, ok := strings.Cut(h, "=")
		if ok && n != "" && (n == name || wild && strings.HasPrefix(n, prefix)) {
			out = append(out, h)
		}
	}
	return out, nil
}

// EnvFile reads --env-file: one entry a line as for -e; lines that are empty or
// begin with # are skipped. Nothing is unquoted, as with Docker.
func EnvFile(name, content string, host []string) ([]string, error) {
	var out []string
	line := 0
	for text := range strings.Lines(strings.TrimPrefix(content, "\ufeff")) {
		line++
		text = strings.TrimLeft(strings.TrimRight(text, "\r\n"), " \t")
		if text == "" || text[0] == '#' {
			continue
		}
		if n, _, _ := strings.Cut(text, "="); strings.ContainsAny(n, " \t") {
			return nil, fmt.Errorf("%s:%d: %w", name, line, bad("environment variable", text, "a name has no spaces"))
		}
		entries, err := Env(text, host)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, line, err)
		}
		out = append(out, entries...)
	}
	return out, nil
}
