package logs

import (
	"fmt"
	"strings"
)

// Fields are what a tag can tell of a container, in Docker's names ("Customize
// log driver output").
type Fields struct {
	FullID, Name, ImageFullID, ImageName string
}

// Field returns the field that a tag names.
func (f Fields) Field(name string) (value string, ok bool) {
	switch name {
	case "ID":
		return f.FullID[:min(len(f.FullID), shortID)], true
	case "FullID":
		return f.FullID, true
	case "Name":
		return f.Name, true
	case "ImageID":
		return f.ImageFullID[:min(len(f.ImageFullID), shortID)], true
	case "ImageFullID":
		return f.ImageFullID, true
	case "ImageName":
		return f.ImageName, true
	case "DaemonName":
		return "nook", true
	}
	return "", false
}

// ExpandTag replaces {{.NAME}} in a tag by the field of that name. It knows no
// more of templates than that.
func ExpandTag(text string, f Fields) (string, error) {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(text, "{{")
		out.WriteString(before)
		if !found {
			return out.String(), nil
		}
		action, after, closed := strings.Cut(rest, "}}")
		name, dotted := strings.CutPrefix(strings.TrimSpace(action), ".")
		if !closed || !dotted {
			return "", fmt.Errorf("%q: want fields only, as {{.Name}}", "{{"+rest)
		}
		value, ok := f.Field(name)
		if !ok {
			return "", fmt.Errorf("unknown field %q; want ID, FullID, Name, ImageID, ImageFullID, ImageName or DaemonName", name)
		}
		out.WriteString(value)
		text = after
	}
}
