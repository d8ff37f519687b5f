package system

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// asTree is v as its JSON, without docker's names, for writeTree.
func asTree(v *info) (map[string]any, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var all map[string]any
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := dec.Decode(&all); err != nil {
		return nil, err
	}
	tree := map[string]any{}
	for _, key := range []string{"host", "plugins", "registries", "store", "version"} {
		tree[key] = all[key]
	}
	if len(v.Warnings) > 0 {
		tree["warnings"] = all["Warnings"]
	}
	return tree, nil
}

// writeTree prints decoded JSON as YAML, keys in order.
func writeTree(b *bytes.Buffer, v map[string]any, indent string) {
	for _, key := range slices.Sorted(maps.Keys(v)) {
		b.WriteString(indent + scalar(key) + ":")
		writeValue(b, v[key], indent)
	}
}

func writeValue(b *bytes.Buffer, v any, indent string) {
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 0 {
			b.WriteString(" {}\n")
			return
		}
		b.WriteString("\n")
		writeTree(b, v, indent+"  ")
	case []any:
		if len(v) == 0 {
			b.WriteString(" []\n")
			return
		}
		b.WriteString("\n")
		for _, one := range v {
			writeItem(b, one, indent)
		}
	default:
		b.WriteString(" " + scalar(v) + "\n")
	}
}

// writeItem prints an element of a list; one that has keys has the first of them
// behind the dash.
func writeItem(b *bytes.Buffer, v any, indent string) {
	m, ok := v.(map[string]any)
	if !ok || len(m) == 0 {
		b.WriteString(indent + "- " + scalar(v) + "\n")
		return
	}
	var inner bytes.Buffer
	writeTree(&inner, m, indent+"  ")
	b.WriteString(indent + "- " + strings.TrimPrefix(inner.String(), indent+"  "))
}

// scalar writes a value so that YAML reads it back as the same: text that would be
// something else there is quoted, as JSON, which YAML reads too.
func scalar(v any) string {
	s, ok := v.(string)
	if !ok {
		data, err := json.Marshal(v)
		if err != nil {
			return "null"
		}
		return string(data)
	}
	word := s != "" && strings.IndexFunc(s, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./,()@%~ ", r)
	}) < 0
	letter := s != "" && strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ/", rune(s[0]))
	switch strings.ToLower(s) {
	case "null", "true", "false", "yes", "no", "on", "off", "y", "n":
		word = false
	}
	if word && letter && s == strings.TrimSpace(s) {
		return s
	}
	data, err := json.Marshal(s)
	if err != nil {
		return `""`
	}
	return string(data)
}
