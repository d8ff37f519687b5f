// Package packtest finds types that package pack can't hand over whole.
package packtest

import (
	"reflect"
	"testing"
	"time"

	"github.com/nook-containers/nook/pkg/pack"
)

// RoundTrip tests that whatever a T may hold arrives as it was, and nothing else does.
func RoundTrip[T any](t *testing.T) {
	t.Helper()
	var sent, got T
	n := 0
	fill(t, reflect.ValueOf(&sent).Elem(), &n)
	data, err := pack.Marshal(&sent)
	if err != nil {
		t.Fatal(err)
	}
	if err := pack.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, sent) {
		t.Errorf("got  %+v\nwant %+v", got, sent)
	}
	for i := range data {
		if pack.Unmarshal(data[:i], new(T)) == nil {
			t.Fatalf("the first %d bytes of %d are enough", i, len(data))
		}
	}
	if pack.Unmarshal(append(data, 0), new(T)) == nil {
		t.Error("a byte more is read as if it were not there")
	}
}

// fill gives v and all it holds values that differ from each other and from zero.
func fill(t *testing.T, v reflect.Value, n *int) {
	t.Helper()
	*n++
	if v.Type() == reflect.TypeFor[time.Time]() {
		v.Set(reflect.ValueOf(time.Date(2026, 1, 2, 3, 4, 5, *n, time.UTC)))
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(-int64(*n % 100))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		v.SetUint(uint64(*n % 100)) //nolint:gosec // a small number
	case reflect.Float64:
		v.SetFloat(float64(*n) / 8)
	case reflect.String:
		v.SetString(time.Duration(*n).String())
	default:
		fillParts(t, v, n)
	}
}

// fillParts fills what v consists of.
func fillParts(t *testing.T, v reflect.Value, n *int) {
	t.Helper()
	switch v.Kind() {
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(t, v.Index(0), n)
		fill(t, v.Index(1), n)
	case reflect.Array:
		for i := range v.Len() {
			fill(t, v.Index(i), n)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range 2 {
			key, elem := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			fill(t, key, n)
			fill(t, elem, n)
			v.SetMapIndex(key, elem)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem(), n)
	case reflect.Struct:
		for f, e := range v.Fields() {
			if f.Tag.Get("pack") != "-" {
				fill(t, e, n)
			}
		}
	default:
		t.Fatalf("%s is handed over", v.Type())
	}
}
