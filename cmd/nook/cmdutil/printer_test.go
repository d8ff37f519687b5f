package cmdutil

import (
	"bytes"
	"strings"
	"testing"
)

func TestPrinter(t *testing.T) {
	for format, want := range map[string]string{
		"json":           "\"x=<1>\"\n\"x=2\"\n",
		"{{json .}}":     "\"x=<1>\"\n\"x=2\"\n",
		" {{ json . }}":  "\"x=<1>\"\n\"x=2\"\n",
		`{{.ID}}\t{{.}}`: "<1>\t{<1>}\n2\t{2}\n",
	} {
		var out bytes.Buffer
		type one struct{ ID string }
		show, err := Printer(&out, format, func(r one) any { return "x=" + r.ID })
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{"<1>", "2"} {
			if err := show(one{id}); err != nil {
				t.Fatal(err)
			}
		}
		if out.String() != want {
			t.Errorf("%s: %q, want %q", format, &out, want)
		}
	}
}

// A mistake shows before there is anything to print.
func TestFormatIsCheckedFirst(t *testing.T) {
	for _, bad := range []string{"{{", "{{.Nom}}", "table {{.Nom}}", "{{nofunc .ID}}"} {
		if err := CheckFormat(bad, List[*row]{}); err == nil || !strings.HasPrefix(err.Error(), "--format: ") {
			t.Errorf("CheckFormat(%q): %v", bad, err)
		}
		if _, err := Printer(&bytes.Buffer{}, bad, func(*row) any { return nil }); err == nil {
			t.Errorf("Printer took %q", bad)
		}
	}
	for _, good := range []string{"", "json", "table", "{{.ID}}", "table {{.ID}}"} {
		if err := CheckFormat(good, List[*row]{Default: "{{.ID}}"}); err != nil {
			t.Errorf("CheckFormat(%q): %v", good, err)
		}
	}
}
