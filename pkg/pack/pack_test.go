package pack_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/nook-containers/nook/pkg/pack"
	"github.com/nook-containers/nook/pkg/pack/packtest"
)

// everything has each kind of value.
type everything struct {
	Bool    bool
	Ints    []int
	Small   uint8
	Handle  uintptr
	Float   float64
	Text    string
	Raw     []byte
	Address [6]byte
	Map     map[string][]string
	Time    time.Time
	Next    *everything2
	Lists   [][]everything2
	stays   int    `pack:"-"`
	Stays   func() `pack:"-"`
}

type everything2 struct {
	A, B *int
	Wait time.Duration
}

func TestRoundTrip(t *testing.T) { packtest.RoundTrip[everything](t) }

// Nothing, empty and zero are told apart.
func TestEmpty(t *testing.T) {
	zero := 0
	sent := everything{Ints: []int{}, Map: map[string][]string{"": nil}, Next: &everything2{A: &zero}, stays: 1}
	data, err := pack.Marshal(sent)
	if err != nil {
		t.Fatal(err)
	}
	var got everything
	if err := pack.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if sent.stays = 0; !reflect.DeepEqual(got, sent) {
		t.Errorf("got  %+v\nwant %+v", got, sent)
	}
}

// What would arrive without a part of itself is not sent.
func TestRefuses(t *testing.T) {
	for _, v := range []any{struct{ hidden int }{1}, func() {}, struct{ Any any }{1}, []chan int{nil}} {
		if data, err := pack.Marshal(v); err == nil {
			t.Errorf("%T became %q", v, data)
		}
	}
}

// Any bytes are read or refused, in memory of their size.
func FuzzUnmarshal(f *testing.F) {
	data, err := pack.Marshal(everything{Ints: []int{1}, Map: map[string][]string{"a": {"b"}}, Next: &everything2{}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		var v, again everything
		if pack.Unmarshal(data, &v) != nil {
			return
		}
		written, err := pack.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := pack.Unmarshal(written, &again); err != nil {
			t.Errorf("what was read and written is not read: %v", err)
		}
	})
}
