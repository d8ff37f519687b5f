// Package pack writes values for another process of the same program file, which
// needs neither names nor versions: they follow each other in the order of their
// types.
//
// encoding/json finds out how each type is read, and how it is written, of all that
// a value may hold, and keeps that: a millisecond and a third of a small process's
// memory for a container's record. Here nothing is kept.
//
//	numbers     varint; bool is one
//	float       its bits
//	string      length, bytes
//	slice, map  0: nil; or 1 + length, elements
//	pointer     as a slice of one
//	time.Time   its own binary form, as a string
//	array       its elements
//	struct      its fields, but for those with the tag pack:"-"; the others are exported
package pack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"reflect"
	"time"
)

// Marshal returns what Unmarshal reads into a value of v's type. It is an error if v
// has anything that would not arrive: functions, channels, interfaces, fields that are
// not exported.
func Marshal(v any) ([]byte, error) {
	value := reflect.ValueOf(v)
	if value.Kind() == reflect.Pointer {
		value = value.Elem()
	}
	return pack(nil, value)
}

// Unmarshal reads into what v points to, which is zero. It is an error if data is not
// all of what Marshal wrote, or more.
func Unmarshal(data []byte, v any) error {
	u := unpacker{rest: data}
	u.value(reflect.ValueOf(v).Elem())
	if u.err == nil && len(u.rest) > 0 {
		return errors.New("more was handed over than there is a place for")
	}
	return u.err
}

// left is the tag of fields that stay behind.
const left = "-"

func stays(f reflect.StructField) bool { return f.Tag.Get("pack") == left }

// pack appends v.
func pack(to []byte, v reflect.Value) ([]byte, error) {
	if t, ok := reflect.TypeAssert[time.Time](v); ok {
		b, err := t.MarshalBinary()
		return append(binary.AppendUvarint(to, uint64(len(b))), b...), err
	}
	switch v.Kind() {
	case reflect.Bool:
		if v.Bool() {
			return append(to, 1), nil
		}
		return append(to, 0), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return binary.AppendVarint(to, v.Int()), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return binary.AppendUvarint(to, v.Uint()), nil
	case reflect.Float32, reflect.Float64:
		return binary.AppendUvarint(to, math.Float64bits(v.Float())), nil
	case reflect.String:
		return append(binary.AppendUvarint(to, uint64(v.Len())), v.String()...), nil
	default:
		return packParts(to, v)
	}
}

// packParts appends what v consists of.
func packParts(to []byte, v reflect.Value) (_ []byte, err error) {
	switch v.Kind() {
	case reflect.Struct:
		for f, e := range v.Fields() {
			if stays(f) {
				continue
			}
			if !f.IsExported() {
				return nil, fmt.Errorf("%s.%s can't be handed over", v.Type(), f.Name)
			}
			if to, err = pack(to, e); err != nil {
				return nil, err
			}
		}
		return to, nil
	case reflect.Array:
		return packElements(to, v)
	case reflect.Slice, reflect.Map, reflect.Pointer:
	default:
		return nil, fmt.Errorf("%s can't be handed over", v.Type())
	}
	if v.IsNil() {
		return append(to, 0), nil
	}
	if v.Kind() == reflect.Pointer {
		return pack(append(to, 2), v.Elem())
	}
	to = binary.AppendUvarint(to, uint64(v.Len())+1)
	if v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8 {
		return append(to, v.Bytes()...), nil
	}
	return packElements(to, v)
}

// packElements appends what is in v.
func packElements(to []byte, v reflect.Value) (_ []byte, err error) {
	each := func(v reflect.Value) {
		if err == nil {
			to, err = pack(to, v)
		}
	}
	if v.Kind() == reflect.Map {
		for k, e := range v.Seq2() {
			each(k)
			each(e)
		}
		return to, err
	}
	for i := range v.Len() {
		each(v.Index(i))
	}
	return to, err
}

var errShort = errors.New("what was handed over is cut off")

// unpacker reads what pack wrote.
type unpacker struct {
	rest []byte
	err  error
}

func (u *unpacker) uint() uint64 {
	n, l := binary.Uvarint(u.rest)
	if l <= 0 {
		u.err, u.rest = errShort, nil
		return 0
	}
	u.rest = u.rest[l:]
	return n
}

func (u *unpacker) int() int64 {
	n, l := binary.Varint(u.rest)
	if l <= 0 {
		u.err, u.rest = errShort, nil
		return 0
	}
	u.rest = u.rest[l:]
	return n
}

// bytes are the next n ones.
func (u *unpacker) bytes(n uint64) []byte {
	if n > uint64(len(u.rest)) {
		u.err, u.rest = errShort, nil
		return nil
	}
	b := u.rest[:n]
	u.rest = u.rest[n:]
	return b
}

// value reads into v.
func (u *unpacker) value(v reflect.Value) {
	if u.err != nil {
		return
	}
	if t, ok := reflect.TypeAssert[*time.Time](v.Addr()); ok {
		if err := t.UnmarshalBinary(u.bytes(u.uint())); err != nil && u.err == nil {
			u.err = err
		}
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(u.uint() != 0)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(u.int())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		v.SetUint(u.uint())
	case reflect.Float32, reflect.Float64:
		v.SetFloat(math.Float64frombits(u.uint()))
	case reflect.String:
		v.SetString(string(u.bytes(u.uint())))
	default:
		u.parts(v)
	}
}

// parts reads what v consists of.
func (u *unpacker) parts(v reflect.Value) {
	if v.Kind() == reflect.Struct {
		for f, e := range v.Fields() {
			if !stays(f) {
				u.value(e)
			}
		}
		return
	}
	if v.Kind() == reflect.Array {
		for i := range v.Len() {
			u.value(v.Index(i))
		}
		return
	}
	length := u.uint()
	if length == 0 || u.err != nil {
		return
	}
	// An element has a byte at least, but for an empty struct, which nobody sends.
	if length-1 > uint64(len(u.rest)) {
		u.err = errShort
		return
	}
	n := int(length - 1) //nolint:gosec // bounded by what there is
	switch {
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		u.value(v.Elem())
	case v.Kind() == reflect.Map:
		u.entries(v, n)
	case v.Type().Elem().Kind() == reflect.Uint8:
		v.SetBytes(append([]byte{}, u.bytes(length-1)...))
	default:
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			u.value(v.Index(i))
		}
	}
}

// entries reads n entries of a map.
func (u *unpacker) entries(v reflect.Value, n int) {
	v.Set(reflect.MakeMapWithSize(v.Type(), n))
	for range n {
		key, elem := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		u.value(key)
		u.value(elem)
		if u.err != nil {
			return
		}
		v.SetMapIndex(key, elem)
	}
}
