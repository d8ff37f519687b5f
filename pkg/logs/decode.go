package logs

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"
)

// Record is one line of output, or a piece of one.
type Record struct {
	Time    time.Time
	Stream  Stream
	Start   bool   // it begins a line
	Partial bool   // the line goes on in the next record of the stream
	Line    []byte // without the newline; valid until the source is read again
}

// decoder turns the lines of a log into records, of either format.
type decoder struct {
	text  []byte // the time as the last record had it
	time  time.Time
	plain []byte // unescaped text
}

// decode reads one line of a log, without its newline. It returns false for what
// is no record: the line's first half was lost when a writer was killed, or
// something else wrote it.
func (d *decoder) decode(line []byte) (Record, bool) {
	if len(line) > 0 && line[0] == '{' {
		return d.decodeJSON(line)
	}
	return d.decodeK8s(line)
}

func (d *decoder) decodeK8s(line []byte) (Record, bool) {
	when, rest, ok1 := bytes.Cut(line, []byte{' '})
	stream, rest, ok2 := bytes.Cut(rest, []byte{' '})
	tags, text, ok3 := bytes.Cut(rest, []byte{' '})
	r := Record{Line: text}
	// More tags may follow the first, after colons (k8s.io/cri-api).
	flag, _, _ := bytes.Cut(tags, []byte{':'})
	if !ok1 || !ok2 || !ok3 || len(flag) != 1 || flag[0] != 'F' && flag[0] != 'P' {
		return r, false
	}
	r.Partial = flag[0] == 'P'
	return r, d.setStream(&r, stream) && d.setTime(&r, when)
}

func (d *decoder) setStream(r *Record, name []byte) bool {
	switch string(name) {
	case "stdout":
		r.Stream = Stdout
	case "stderr":
		r.Stream = Stderr
	default:
		return false
	}
	return true
}

// setTime knows the text of the record before: those of one read share it.
func (d *decoder) setTime(r *Record, text []byte) bool {
	if !bytes.Equal(text, d.text) || len(text) == 0 {
		t, err := time.Parse(time.RFC3339Nano, string(text))
		if err != nil {
			return false
		}
		d.text, d.time = append(d.text[:0], text...), t
	}
	r.Time = d.time
	return true
}

// decodeJSON knows the order of fields that Docker and this package write, and
// leaves all else to encoding/json.
func (d *decoder) decodeJSON(line []byte) (Record, bool) {
	rest, ok := bytes.CutPrefix(line, []byte(`{"log":"`))
	if !ok {
		return d.decodeAnyJSON(line)
	}
	text, rest, ok := d.unquote(rest)
	if !ok {
		return d.decodeAnyJSON(line)
	}
	rest, ok1 := bytes.CutPrefix(rest, []byte(`,"stream":"`))
	stream, rest, ok2 := bytes.Cut(rest, []byte(`","time":"`))
	when, ok3 := bytes.CutSuffix(rest, []byte(`"}`))
	r := Record{}
	if !ok1 || !ok2 || !ok3 || !d.setStream(&r, stream) || !d.setTime(&r, when) {
		return d.decodeAnyJSON(line)
	}
	r.setText(text)
	return r, true
}

func (r *Record) setText(text []byte) {
	line, whole := bytes.CutSuffix(text, []byte{'\n'})
	r.Line, r.Partial = line, !whole
}

func (d *decoder) decodeAnyJSON(line []byte) (Record, bool) {
	var v struct {
		Log    *string `json:"log"`
		Stream string  `json:"stream"`
		Time   string  `json:"time"`
	}
	if json.Unmarshal(line, &v) != nil || v.Log == nil {
		return Record{}, false
	}
	r := Record{}
	r.setText([]byte(*v.Log))
	return r, d.setStream(&r, []byte(v.Stream)) && d.setTime(&r, []byte(v.Time))
}

// unquote reads a JSON string up to its closing quote. It returns false for an
// escape that only encoding/json knows.
func (d *decoder) unquote(s []byte) (text, rest []byte, ok bool) {
	d.plain = d.plain[:0]
	for {
		i := bytes.IndexByte(s, '"')
		if i < 0 {
			return nil, nil, false
		}
		esc := bytes.IndexByte(s[:i], '\\')
		if esc < 0 {
			if len(d.plain) == 0 {
				return s[:i], s[i+1:], true
			}
			d.plain = append(d.plain, s[:i]...)
			return d.plain, s[i+1:], true
		}
		d.plain = append(d.plain, s[:esc]...)
		if s = s[esc+1:]; len(s) == 0 {
			return nil, nil, false
		}
		at := strings.IndexByte(`nrt"\/`, s[0])
		if at < 0 {
			return nil, nil, false
		}
		d.plain = append(d.plain, "\n\r\t\"\\/"[at])
		s = s[1:]
	}
}
