package monitor

import (
	"reflect"
	"testing"
	"time"
)

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
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(*n % 100)) //nolint:gosec // a small number
	case reflect.Float64:
		v.SetFloat(float64(*n) / 8)
	case reflect.String:
		v.SetString(time.Duration(*n).String())
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
		for _, e := range v.Fields() {
			fill(t, e, n)
		}
	default:
		t.Fatalf("%s is handed over", v.Type())
	}
}

// Whatever the two briefs may hold arrives as it was, and nothing else does.
func TestPack(t *testing.T) {
	n := 0
	full, next := brief{}, Handover{}
	fill(t, reflect.ValueOf(&full).Elem(), &n)
	fill(t, reflect.ValueOf(&next).Elem(), &n)
	empty := brief{Kept: []int{}}
	for name, c := range map[string]struct{ sent, got any }{
		"full": {&full, &brief{}}, "handover": {&next, &Handover{}}, "empty": {&empty, &brief{}},
	} {
		t.Run(name, func(t *testing.T) {
			data, err := pack(nil, reflect.ValueOf(c.sent).Elem())
			if err != nil {
				t.Fatal(err)
			}
			if err := unpack(data, c.got); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(c.got, c.sent) {
				t.Errorf("got  %+v\nwant %+v", c.got, c.sent)
			}
			for i := range data {
				if unpack(data[:i], reflect.New(reflect.TypeOf(c.got).Elem()).Interface()) == nil {
					t.Fatalf("the first %d bytes of %d are enough", i, len(data))
				}
			}
			if unpack(append(data, 0), c.got) == nil {
				t.Error("a byte more is read as if it were not there")
			}
		})
	}
}

// What would arrive without a part of itself is not sent.
func TestPackRefuses(t *testing.T) {
	for _, v := range []any{struct{ hidden int }{1}, func() {}, struct{ Any any }{1}, []chan int{nil}} {
		if data, err := pack(nil, reflect.ValueOf(v)); err == nil {
			t.Errorf("%T became %q", v, data)
		}
	}
}
