package syntax

import (
	"path/filepath"
	"strconv"
	"strings"

	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/pkg/logs"
)

// maxLogFiles bounds max-file: a reader has all of them open at once.
const maxLogFiles = 500

// Log reads --log-driver and the values of --log-opt. Relative paths are below
// dir.
func Log(driver string, opts []string, dir string) (spec.Log, error) {
	l := spec.Log{Driver: driver}
	switch driver {
	case "":
		driver = logs.K8sFile
	case logs.K8sFile, logs.JSONFile, logs.Journald, logs.None, logs.Passthrough, logs.PassthroughTTY:
	default:
		return l, bad("log driver", driver, "want k8s-file, json-file, journald, none, passthrough or passthrough-tty")
	}
	for _, text := range opts {
		if err := logOption(&l, driver, text); err != nil {
			return l, err
		}
	}
	if l.Path != "" && !filepath.IsAbs(l.Path) {
		l.Path = filepath.Join(dir, l.Path)
	}
	if l.MaxFiles > 0 && l.MaxSize == logs.Unlimited {
		return l, bad("log option", "max-file="+strconv.Itoa(l.MaxFiles), "a log without max-size has one file")
	}
	return l, nil
}

func logOption(l *spec.Log, driver, text string) (err error) {
	key, value, ok := strings.Cut(text, "=")
	if !ok || value == "" {
		return bad("log option", text, "want KEY=VALUE")
	}
	if why := unfit(driver, key); why != "" {
		return bad("log option", text, "%s", why)
	}
	switch key {
	case "max-size":
		if l.MaxSize, err = maxSize(value); err != nil {
			return bad("log option", text, "want a size such as 10m, or -1 for no limit")
		}
	case "max-file":
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 || n > maxLogFiles {
			return bad("log option", text, "want a number from 1 to %d", maxLogFiles)
		}
		l.MaxFiles = n
	case "path":
		l.Path = value
	case "tag":
		l.Tag = value
		if _, err := logs.ExpandTag(value, logs.Fields{}); err != nil {
			return bad("log option", text, "%v", err)
		}
	default:
		return bad("log option", text, "unknown option %q; want max-size, max-file, path or tag", key)
	}
	return nil
}

// maxSize reads a size in bytes; 0 and -1 are no limit.
func maxSize(value string) (int64, error) {
	if value == "-1" {
		return logs.Unlimited, nil
	}
	n, err := Bytes(value)
	if n == 0 {
		n = logs.Unlimited
	}
	return n, err
}

// unfit says why a driver does not take an option.
func unfit(driver, key string) string {
	switch tagged := driver == logs.JSONFile || driver == logs.Journald; {
	case key == "tag" && !tagged:
		return driver + " keeps no tag; json-file and journald do"
	case key != "tag" && !logs.HasFiles(driver):
		return driver + " has no such option"
	}
	return ""
}
