package cmdutil

import (
	"bytes"
	"strings"
	"testing"
)

type row struct {
	ID     string
	Names  []string
	Size   int
	hidden string //nolint:unused // must not show up among the fields
}

func (r *row) Label(k string) string { return "label-" + k }
func (r *row) Upper() string         { return strings.ToUpper(r.ID) }

func TestRender(t *testing.T) {
	rows := []*row{{ID: "abc", Names: []string{"x", "y"}, Size: 5}, {ID: "long-identifier", Size: 70}}
	list := List[*row]{Default: `{{.ID}}\t{{.Size}}`, Headings: map[string]string{"ID": "ROW ID"}}
	quiet := list
	quiet.NoHeading = true
	for _, tc := range []struct {
		name, format, want string
		list               List[*row]
	}{
		{"default", "", "ROW ID           SIZE\nabc              5\nlong-identifier  70\n", list},
		{"no heading", "", "abc              5\nlong-identifier  70\n", quiet},
		{"table", "table {{.Size}}\t{{.ID}}", "SIZE        ROW ID\n5           abc\n70          long-identifier\n", list},
		{"spaces", "table {{ .Size }} {{.ID}}", "SIZE        ROW ID\n5           abc\n70          long-identifier\n", list},
		{"spaces in an action", `table {{printf "%s of %d" .ID .Size}} {{.Size}}`, "ROW ID SIZE            SIZE\nabc of 5               5\nlong-identifier of 70  70\n", list},
		{"bare table", "table", "ROW ID           SIZE\nabc              5\nlong-identifier  70\n", list},
		{"template", `{{.ID}}\t{{.Size}}`, "abc\t5\nlong-identifier\t70\n", list},
		{"functions", `{{json .Names}} {{join .Names "+"}} {{upper .ID | truncate}}`, "", list},
		{"json function", `{{json .Names}}`, "[\"x\",\"y\"]\nnull\n", list},
		{"join", `{{join .Names "+"}}.`, "x+y.\n.\n", list},
		{"strings", `{{title .ID}} {{truncate .ID 2}} {{pad .ID 1 2}}| {{len (split .ID "-")}}`, "Abc ab  abc  | 1\nLong-identifier lo  long-identifier  | 2\n", list},
		{"method", `{{.Upper}} {{.Label "k"}}`, "ABC label-k\nLONG-IDENTIFIER label-k\n", list},
		{"range", `{{range .Names}}<{{.}}>{{end}}`, "<x><y>\n\n", list},
		{"heading with functions", `table {{truncate .ID 3}}\t{{range .Names}}{{.}}{{end}}`, "ROW ID      NAMES\nabc         xy\nlon         \n", list},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out bytes.Buffer
			err := Render(&out, tc.format, tc.list, rows)
			if tc.want == "" {
				if err == nil {
					t.Fatalf("wrong use of a function gave %q", &out)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if out.String() != tc.want {
				t.Errorf("got\n%s\nwant\n%s", &out, tc.want)
			}
		})
	}
}

func TestRenderJSON(t *testing.T) {
	var out bytes.Buffer
	if err := Render(&out, "json", List[*row]{}, []*row{{ID: "<a>"}}); err != nil {
		t.Fatal(err)
	}
	want := "[\n    {\n        \"ID\": \"<a>\",\n        \"Names\": null,\n        \"Size\": 0\n    }\n]\n"
	if out.String() != want {
		t.Errorf("got %q, want %q", &out, want)
	}
	out.Reset()
	if err := Render[*row](&out, "json", List[*row]{}, nil); err != nil || out.String() != "[]\n" {
		t.Errorf("no rows: %q, %v", &out, err)
	}
	out.Reset()
	if err := RenderObjects(&out, "{{.ID}}", []*row{{ID: "q"}}); err != nil || out.String() != "q\n" {
		t.Errorf("object: %q, %v", &out, err)
	}
}

func TestRenderUnknownField(t *testing.T) {
	for _, format := range []string{"{{.Nom}}", "table {{.ID}}\t{{.Nom}}", "{{if .Nom}}x{{end}}", "{{json .Nom}}"} {
		err := Render[*row](&bytes.Buffer{}, format, List[*row]{}, nil) // no row, and yet an error
		if err == nil || !strings.Contains(err.Error(), `unknown field "Nom"`) || !strings.Contains(err.Error(), "ID, Label, Names, Size, Upper") {
			t.Errorf("%s: %v", format, err)
		}
		if err != nil && strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s names a private field: %v", format, err)
		}
	}
	if err := Render(&bytes.Buffer{}, "{{", List[*row]{}, []*row{{}}); err == nil || !strings.HasPrefix(err.Error(), "--format: ") {
		t.Errorf("broken template: %v", err)
	}
}

func FuzzRender(f *testing.F) {
	f.Add("table {{.ID}}\t{{json .Names}}")
	f.Add("{{range .Names}}{{.}}{{else}}{{with .ID}}{{.}}{{end}}{{end}}")
	f.Fuzz(func(_ *testing.T, format string) {
		if strings.Contains(format, "printf") || strings.Contains(format, "pad") || strings.Contains(format, "define") || strings.Contains(format, "template") || strings.Contains(format, "block") {
			return // may ask for more memory than a test has
		}
		_ = Render(&bytes.Buffer{}, format, List[*row]{Default: "{{.ID}}"}, []*row{{ID: "abc", Names: []string{"x"}}})
	})
}

// A row whose fields are methods is an object in JSON all the same.
func TestRenderObject(t *testing.T) {
	list := List[method]{Default: "{{.ID}}", Object: func(m method) any { return map[string]int{"id": m.n} }}
	for format, want := range map[string]string{
		"{{json .}}":         "{\"id\":1}\n{\"id\":2}\n",
		" {{ json . }} ":     "{\"id\":1}\n{\"id\":2}\n",
		"{{. | json}}":       "{\"id\":1}\n{\"id\":2}\n",
		"{{json .ID}}":       "\"n\"\n\"n\"\n",
		"json":               "[\n    {\n        \"id\": 1\n    },\n    {\n        \"id\": 2\n    }\n]\n",
		"x{{json .}}{{.ID}}": "x{\"id\":1}n\nx{\"id\":2}n\n",
	} {
		var out bytes.Buffer
		if err := Render(&out, format, list, []method{{1}, {2}}); err != nil || out.String() != want {
			t.Errorf("%s: %q, %v", format, &out, err)
		}
	}
	var none bytes.Buffer
	if err := Render(&none, "json", list, nil); err != nil || none.String() != "[]\n" {
		t.Errorf("no rows: %q, %v", &none, err)
	}
}

type method struct{ n int }

func (m method) ID() string { return "n" }
