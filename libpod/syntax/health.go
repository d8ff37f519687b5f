package syntax

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/nook-containers/nook/libpod/spec"
)

// HealthCommand reads --health-cmd: "none", a JSON array (the command), or text
// for the container's shell. The words of an image's configuration are known too:
// CMD and CMD-SHELL in front.
func HealthCommand(text string) ([]string, error) {
	text = strings.TrimSpace(text)
	if strings.EqualFold(text, spec.HealthNone) {
		return []string{spec.HealthNone}, nil
	}
	list := []string{}
	if json.Unmarshal([]byte(text), &list) == nil {
		return healthList(text, list)
	}
	word, rest, _ := strings.Cut(text, " ")
	switch rest = strings.TrimSpace(rest); {
	case text == "":
		return nil, bad("health command", text, "want a command, a JSON array, or none")
	case word == spec.HealthExec && rest != "":
		return append([]string{spec.HealthExec}, strings.Fields(rest)...), nil
	case word == spec.HealthShell && rest != "":
		return []string{spec.HealthShell, rest}, nil
	}
	return []string{spec.HealthShell, text}, nil
}

func healthList(text string, list []string) ([]string, error) {
	switch {
	case len(list) == 1 && strings.EqualFold(list[0], spec.HealthNone):
		return []string{spec.HealthNone}, nil
	case len(list) > 1 && (list[0] == spec.HealthExec || list[0] == spec.HealthShell):
	case len(list) > 0 && list[0] != spec.HealthExec && list[0] != spec.HealthShell:
		list = append([]string{spec.HealthExec}, list...)
	default:
		return nil, bad("health command", text, "the command is empty")
	}
	if list[1] == "" {
		return nil, bad("health command", text, "the command is empty")
	}
	return list, nil
}

// HealthTime reads a duration of a health check that must not be under least.
func HealthTime(flag, text string, least time.Duration) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return 0, bad(flag, text, "want a duration, as 30s")
	case d < least:
		return 0, bad(flag, text, "want at least %v", least)
	}
	return d, nil
}

// HealthInterval reads --health-interval: a duration, or disable or 0 for checks
// that run only when asked for.
func HealthInterval(flag, text string) (time.Duration, error) {
	if text == "disable" {
		return spec.HealthDisabled, nil
	}
	d, err := HealthTime(flag, text, 0)
	switch {
	case err != nil:
		return 0, err
	case d == 0:
		return spec.HealthDisabled, nil
	case d < time.Millisecond:
		return 0, bad(flag, text, "want at least 1ms")
	}
	return d, nil
}
