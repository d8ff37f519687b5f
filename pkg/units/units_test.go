package units

import (
	"testing"
	"time"
)

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 999: "999 B", 1000: "1 kB", 1500: "1.5 kB", 142_300_000: "142 MB",
		999_999: "1 MB", 999_500_000: "1 GB", -1500: "-1.5 kB", 1<<63 - 1: "9.22 EB",
	} {
		if got := Size(n); got != want {
			t.Errorf("Size(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestAgo(t *testing.T) {
	const day = 24 * time.Hour
	for d, want := range map[time.Duration]string{
		-time.Hour: "Less than a second ago", 0: "Less than a second ago", time.Second: "1 second ago",
		59 * time.Second: "59 seconds ago", 90 * time.Second: "About a minute ago", 3 * time.Minute: "3 minutes ago",
		80 * time.Minute: "About an hour ago", 30 * time.Hour: "30 hours ago", 3 * day: "3 days ago",
		20 * day: "2 weeks ago", 100 * day: "3 months ago", 800 * day: "2 years ago",
	} {
		if got := Ago(d); got != want {
			t.Errorf("Ago(%v) = %q, want %q", d, got, want)
		}
	}
}
