package cmdutil

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"text/tabwriter"
	"text/template"
	"text/template/parse"
	"unicode"
	"unicode/utf8"
)

// List describes the rows of a list command, for Render. A row is a struct (or a
// pointer to one); its exported fields and its methods are what templates see.
type List[R any] struct {
	// Default is the template of the table that the command prints without
	// --format: fields with tabs between, as "{{.ID}}\t{{.Names}}".
	Default string
	// Headings are the titles of fields; a field that is not there has its own
	// name in capitals.
	Headings map[string]string
	// NoHeading leaves the line of titles out.
	NoHeading bool
	// JSON makes what --format json prints of the rows; nil: a list of what Object
	// makes of each.
	JSON func(rows []R) any
	// Object makes what {{json .}} prints of a row; nil: the row.
	Object func(row R) any
}

// Render prints rows as the value of --format says:
//
//	""              the default table
//	table TEMPLATE  a table of that template's fields, with titles
//	table           the default table
//	json            a JSON array
//	TEMPLATE        the template, a line for each row
//
// Templates are text/template's, with the functions json, join, lower, upper,
// title, split, pad, truncate and println. "\t" and "\n" may be written as two
// characters.
func Render[R any](w io.Writer, format string, l List[R], rows []R) error {
	format = strings.TrimSpace(format)
	if format == "json" {
		return renderJSON(w, l, rows)
	}
	text, table := l.text(format)
	t, err := parseFormat(text, reflect.TypeFor[R]())
	if err != nil {
		return err
	}
	t.Funcs(objectJSON(l.Object))
	var out bytes.Buffer
	if table && !l.NoHeading {
		out.WriteString(heading(text, t, l.Headings) + "\n")
	}
	for _, r := range rows {
		if err := t.Execute(&out, r); err != nil {
			return templateError(err)
		}
		out.WriteByte('\n')
	}
	if !table {
		_, err := w.Write(out.Bytes())
		return err
	}
	tw := tabwriter.NewWriter(w, 12, 2, 2, ' ', 0) // Podman's
	if _, err := tw.Write(out.Bytes()); err != nil {
		return err
	}
	return tw.Flush()
}

// text is the template that a format stands for, and whether it makes a table.
func (l List[R]) text(format string) (text string, table bool) {
	table = format == "" || format == "table"
	if rest, ok := strings.CutPrefix(format, "table "); ok {
		return columns(unescape(rest)), true
	}
	if table {
		format = l.Default
	}
	return unescape(format), table
}

// columns makes spaces outside of actions separate columns, as podman does.
func columns(text string) string {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(text, "{{")
		b.WriteString(strings.ReplaceAll(before, " ", "\t"))
		if !ok {
			return b.String()
		}
		action, after, closed := strings.Cut(rest, "}}")
		b.WriteString("{{" + action)
		if !closed {
			return b.String() // a mistake that the parser finds
		}
		b.WriteString("}}")
		text = after
	}
}

// CheckFormat finds a mistake in the value of --format before there are rows.
func CheckFormat[R any](format string, l List[R]) error {
	format = strings.TrimSpace(format)
	if format == "json" {
		return nil
	}
	text, _ := l.text(format)
	_, err := parseFormat(text, reflect.TypeFor[R]())
	return err
}

// Printer prints values one by one as they come: with "json" a line of JSON each,
// else a line of the template.
func Printer[R any](w io.Writer, format string, object func(R) any) (func(R) error, error) {
	format = strings.TrimSpace(format)
	if format == "json" {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		return func(r R) error { return enc.Encode(object(r)) }, nil
	}
	t, err := parseFormat(unescape(format), reflect.TypeFor[R]())
	if err != nil {
		return nil, err
	}
	t.Funcs(objectJSON(object))
	return func(r R) error {
		var line bytes.Buffer
		if err := t.Execute(&line, r); err != nil {
			return templateError(err)
		}
		line.WriteByte('\n')
		_, err := w.Write(line.Bytes())
		return err
	}, nil
}

// WriteJSON prints v indented, as every command does.
func WriteJSON(w io.Writer, v any) error { return writeJSON(w, v) }

func renderJSON[R any](w io.Writer, l List[R], rows []R) error {
	var v any = rows
	switch {
	case l.JSON != nil:
		v = l.JSON(rows)
	case l.Object != nil:
		list := make([]any, 0, len(rows))
		for _, r := range rows {
			list = append(list, l.Object(r))
		}
		v = list
	case rows == nil:
		v = []R{}
	}
	return writeJSON(w, v)
}

// RenderObjects prints what inspect commands show: a JSON array of the objects,
// or with a template a line for each. An object is a struct or a pointer to one.
func RenderObjects[R any](w io.Writer, format string, objects []R) error {
	format = strings.TrimSpace(format)
	if format == "" || format == "json" {
		if objects == nil {
			objects = []R{}
		}
		return writeJSON(w, objects)
	}
	return Render(w, format, List[R]{}, objects)
}

// RenderObject prints one value: as JSON, or with a template.
func RenderObject[R any](w io.Writer, format string, v R) error {
	if strings.TrimSpace(format) == "json" {
		return writeJSON(w, v)
	}
	return Render(w, format, List[R]{}, []R{v})
}

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "    ")
	return enc.Encode(v)
}

func unescape(s string) string {
	return strings.NewReplacer(`\t`, "\t", `\n`, "\n").Replace(s)
}

func parseFormat(text string, row reflect.Type) (*template.Template, error) {
	t, err := template.New("format").Funcs(functions()).Parse(text)
	if err != nil {
		return nil, templateError(err)
	}
	if err := checkFields(t.Root, row); err != nil {
		return nil, err
	}
	return t, nil
}

// templateError says it without text/template's own prefixes.
func templateError(err error) error {
	s := strings.TrimPrefix(err.Error(), "template: ")
	return fmt.Errorf("--format: %s", strings.TrimPrefix(s, "format:"))
}

// functions are those of Docker and Podman.
func functions() template.FuncMap {
	return template.FuncMap{
		"json":     toJSON,
		"join":     join,
		"lower":    strings.ToLower,
		"upper":    strings.ToUpper,
		"title":    title,
		"split":    func(s, sep string) []string { return strings.Split(s, sep) },
		"pad":      pad,
		"truncate": truncate,
		"println":  fmt.Sprintln,
	}
}

// objectJSON is the function json where a row has an object.
func objectJSON[R any](object func(R) any) template.FuncMap {
	if object == nil {
		return nil
	}
	return template.FuncMap{"json": func(v any) (string, error) {
		if row, ok := v.(R); ok {
			v = object(row)
		}
		return toJSON(v)
	}}
}

func toJSON(v any) (string, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return strings.TrimSuffix(b.String(), "\n"), err
}

func join(v any, sep string) (string, error) {
	switch v := v.(type) {
	case []string:
		return strings.Join(v, sep), nil
	case string: // a title
		return v, nil
	}
	rv := reflect.ValueOf(v)
	if rv.Kind() != reflect.Slice && rv.Kind() != reflect.Array {
		return "", fmt.Errorf("join wants a list, not %T", v)
	}
	parts := make([]string, rv.Len())
	for i := range parts {
		parts[i] = fmt.Sprint(rv.Index(i).Interface())
	}
	return strings.Join(parts, sep), nil
}

func title(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	if n == 0 {
		return s
	}
	return string(unicode.ToUpper(r)) + s[n:]
}

func pad(s string, before, after int) string {
	if s == "" {
		return s
	}
	return strings.Repeat(" ", max(before, 0)) + s + strings.Repeat(" ", max(after, 0))
}

func truncate(s string, n int) string {
	if r := []rune(s); n >= 0 && len(r) > n {
		return string(r[:n])
	}
	return s
}

// heading runs the template on titles instead of values. A template that does
// more with its fields than print them gets the titles in a row.
func heading(text string, t *template.Template, headings map[string]string) string {
	fields := usedFields(t.Root)
	titles := make(map[string]string, len(fields))
	var row []string
	for _, f := range fields {
		h, ok := headings[f]
		if !ok {
			h = strings.ToUpper(f)
		}
		titles[f] = h
		row = append(row, h)
	}
	same := func(v any, _ ...any) any { return v }
	keep := template.FuncMap{
		"json": same, "lower": same, "upper": same, "title": same,
		"printf": func(_ string, v ...any) string { return strings.TrimSpace(fmt.Sprintln(v...)) },
		"join":   same, "truncate": same, "pad": same, "split": same, "println": same,
	}
	var b bytes.Buffer
	ht, err := template.New("heading").Funcs(keep).Parse(text)
	if err != nil || ht.Execute(&b, titles) != nil {
		return strings.Join(row, "\t")
	}
	return b.String()
}

// usedFields lists the first components of the fields that a template names.
func usedFields(n parse.Node) []string {
	var out []string
	walk(n, func(f *parse.FieldNode, _ bool) {
		if !slices.Contains(out, f.Ident[0]) {
			out = append(out, f.Ident[0])
		}
	}, true)
	return out
}

// checkFields finds fields that rows do not have, also when there are no rows.
func checkFields(root parse.Node, row reflect.Type) error {
	var err error
	walk(root, func(f *parse.FieldNode, top bool) {
		if top && err == nil && !hasField(row, f.Ident[0]) {
			err = fmt.Errorf("--format: unknown field %q; there are: %s", f.Ident[0], strings.Join(fieldNames(row), ", "))
		}
	}, true)
	return err
}

// walk calls visit for every field in a template. top says whether "." still is
// the row there: "range" and "with" change it.
func walk(n parse.Node, visit func(f *parse.FieldNode, top bool), top bool) {
	switch n := n.(type) {
	case *parse.ListNode:
		if n == nil {
			return
		}
		for _, c := range n.Nodes {
			walk(c, visit, top)
		}
	case *parse.ActionNode:
		walk(n.Pipe, visit, top)
	case *parse.PipeNode:
		if n == nil {
			return
		}
		for _, c := range n.Cmds {
			for _, a := range c.Args {
				walk(a, visit, top)
			}
		}
	case *parse.FieldNode:
		visit(n, top)
	case *parse.ChainNode:
		walk(n.Node, visit, top)
	case *parse.IfNode:
		walkBranch(&n.BranchNode, visit, top, top)
	case *parse.RangeNode:
		walkBranch(&n.BranchNode, visit, top, false)
	case *parse.WithNode:
		walkBranch(&n.BranchNode, visit, top, false)
	}
}

func walkBranch(b *parse.BranchNode, visit func(*parse.FieldNode, bool), top, inside bool) {
	walk(b.Pipe, visit, top)
	walk(b.List, visit, inside)
	walk(b.ElseList, visit, top)
}

func hasField(row reflect.Type, name string) bool {
	if row.Kind() == reflect.Map || row.Kind() == reflect.Interface {
		return true // known only when it runs
	}
	return slices.Contains(fieldNames(row), name)
}

// fieldNames are the names a template may use on a row, sorted.
func fieldNames(row reflect.Type) []string {
	var out []string
	for m := range row.Methods() {
		if m.IsExported() {
			out = append(out, m.Name)
		}
	}
	if row.Kind() == reflect.Pointer {
		row = row.Elem()
	}
	if row.Kind() == reflect.Struct {
		for _, f := range reflect.VisibleFields(row) {
			if f.IsExported() && !f.Anonymous {
				out = append(out, f.Name)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
