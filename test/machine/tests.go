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

// ErrEnded means that a machine ended while it was to run something.
var ErrEnded = errors.New("the machine ended")

// Tail returns the last lines of a console.
func Tail(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-40):], "\n")
}

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
	if errors.Is(err, ErrEnded) {
		// An emulator's machine may die under its host's load. What it has said is shown,
		// and the scripts get another one, from the first to the last.
		fmt.Fprintf(out, "%s: %v; once more. The console's end:\n%s\n", kind, err, Tail(m.Console()))
		if err = m.Renew(ctx); err == nil {
			err = runScripts(ctx, m, kind, before, out)
		}
	}
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
