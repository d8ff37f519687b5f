package machine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Test runs the scripts of a payload in m: first those that need no reboot, then,
// if there are others, it reboots m and runs these. An error says which failed.
func Test(ctx context.Context, m Machine, kind, payload string, out io.Writer) error {
	all, err := ReadScripts(filepath.Join(payload, "script"))
	if err != nil {
		return err
	}
	var before, after []string
	for _, s := range all {
		if s.AfterReboot {
			after = append(after, s.Name)
		} else {
			before = append(before, s.Name)
		}
	}
	err = runScripts(ctx, m, kind, before, out)
	if len(after) == 0 || ctx.Err() != nil {
		return err
	}
	start := time.Now()
	if rerr := m.Reboot(ctx); rerr != nil {
		return errors.Join(err, fmt.Errorf("reboot: %w", rerr))
	}
	fmt.Fprintf(out, "%s: rebooted in %.1fs\n", kind, time.Since(start).Seconds())
	return errors.Join(err, runScripts(ctx, m, kind, after, out))
}

func runScripts(ctx context.Context, m Machine, kind string, names []string, out io.Writer) error {
	if len(names) == 0 {
		return nil
	}
	start := time.Now()
	args := []string{Dir + "/script.test", "-test.timeout=20m", "-test.run=^TestScript$/^script$/^(" + strings.Join(names, "|") + ")$"}
	if os.Getenv("V") != "" {
		args = append(args, "-test.v")
	}
	status, err := m.Run(ctx, Command{
		Args: args,
		Env:  []string{"NOOK=" + Dir + "/nook", "NOOK_MACHINE=" + kind, "NOOK_LAB_READY=" + Dir + "/lab"},
		Out:  out, Err: out,
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s: %d scripts, %.1fs: %s\n", kind, len(names), time.Since(start).Seconds(), strings.Join(names, " "))
	if status != 0 {
		return fmt.Errorf("scripts failed, status %d", status)
	}
	return nil
}
