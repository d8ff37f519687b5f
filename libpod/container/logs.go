package container

import (
	"strconv"

	"github.com/nook-containers/nook/libpod/monitor"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/logs"
)

func describeLog(c *state.Container) (InspectLog, error) {
	cfg, err := monitor.LogConfig(c)
	if err != nil {
		return InspectLog{}, err
	}
	l := InspectLog{Type: cfg.Driver, Config: map[string]string{}, Path: cfg.Path, Tag: cfg.Tag, Size: "0B"}
	if !logs.HasFiles(cfg.Driver) || cfg.MaxSize == logs.Unlimited {
		return l, nil
	}
	l.Size = sizeText(cfg.MaxSize)
	l.Config["max-size"], l.Config["max-file"] = l.Size, strconv.Itoa(cfg.MaxFiles)
	return l, nil
}

// sizeText is a size as --log-opt takes it.
func sizeText(n int64) string {
	for _, unit := range "bkmg" {
		if n%1024 != 0 || unit == 'g' {
			return strconv.FormatInt(n, 10) + string(unit)
		}
		n /= 1024
	}
	return ""
}
