package cmdutil

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/nook-containers/nook/pkg/term"
)

// Every does show now and then every so often, on a screen that is cleared before,
// until the user interrupts it or it fails.
func Every(ctx context.Context, f *Factory, pause time.Duration, show func() error) error {
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	for {
		clearScreen(f.Out)
		if err := show(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// clearScreen empties a terminal (console_codes(4)); elsewhere the shows follow each
// other.
func clearScreen(out *os.File) {
	if term.IsTerminal(out) {
		fmt.Fprint(out, "\x1b[H\x1b[2J")
	}
}
