package spec

import "strings"

// MaxName is the longest name, in bytes: it is a file's name, too.
const MaxName = 255

// ValidName reports whether text can be the name of a container, a pod, a volume
// or a network: letters, digits and any of _.- after the first.
func ValidName(text string) bool {
	for i, c := range text {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case i > 0 && strings.ContainsRune("_.-", c):
		default:
			return false
		}
	}
	return text != "" && len(text) <= MaxName
}
