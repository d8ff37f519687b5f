// Package units writes sizes and times the way people read them.
package units

import (
	"fmt"
	"strings"
	"time"
)

// Size writes bytes in units of 1000 with three digits: "142 MB".
func Size(bytes int64) string {
	if bytes < 0 {
		return "-" + Size(-bytes)
	}
	units := [...]string{"B", "kB", "MB", "GB", "TB", "PB", "EB"}
	v, i := float64(bytes), 0
	for v >= 999.5 && i < len(units)-1 { // 999.5 would be written as 1e+03
		v /= 1000
		i++
	}
	return fmt.Sprintf("%.3g %s", v, units[i])
}

// Compact is Size without the space, for columns that scripts take apart.
func Compact(bytes int64) string { return strings.Replace(Size(bytes), " ", "", 1) }

// Binary writes bytes in units of 1024: "1.5GiB".
func Binary(bytes uint64) string {
	units := [...]string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	v, i := float64(bytes), 0
	for v >= 1023.5 && i < len(units)-1 {
		v /= 1024
		i++
	}
	return fmt.Sprintf("%.4g%s", v, units[i])
}

// Ago writes how long ago something was: "3 minutes ago".
func Ago(d time.Duration) string { return Duration(d) + " ago" }

// Duration writes d with one unit, rounded down but for hours, as Docker does:
// "About a minute", "5 weeks".
func Duration(d time.Duration) string {
	seconds, hours := int(d.Seconds()), int(d.Hours()+0.5)
	switch minutes := int(d.Minutes()); {
	case seconds < 1:
		return "Less than a second"
	case seconds == 1:
		return "1 second"
	case seconds < 60:
		return fmt.Sprintf("%d seconds", seconds)
	case minutes == 1:
		return "About a minute"
	case minutes < 60:
		return fmt.Sprintf("%d minutes", minutes)
	case hours == 1:
		return "About an hour"
	case hours < 48:
		return fmt.Sprintf("%d hours", hours)
	case hours < 24*14:
		return fmt.Sprintf("%d days", hours/24)
	case hours < 24*60:
		return fmt.Sprintf("%d weeks", hours/24/7)
	case hours < 24*365*2:
		return fmt.Sprintf("%d months", hours/24/30)
	}
	return fmt.Sprintf("%d years", hours/24/365)
}
