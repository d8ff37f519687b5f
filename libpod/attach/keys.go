package attach

import (
	"errors"
	"fmt"
	"strings"
)

// DefaultDetachKeys is podman's and Docker's sequence.
const DefaultDetachKeys = "ctrl-p,ctrl-q"

// ErrKeys means a detach sequence cannot be typed.
var ErrKeys = errors.New("invalid detach keys")

// ParseKeys turns "ctrl-p,ctrl-q" into the bytes a terminal sends for it. Each
// part is one character or ctrl- with a letter or one of @ [ \ ] ^ _. An empty
// string means that nothing detaches.
func ParseKeys(keys string) ([]byte, error) {
	if keys == "" {
		return nil, nil
	}
	var seq []byte
	for part := range strings.SplitSeq(keys, ",") {
		c, isCtrl := strings.CutPrefix(strings.ToLower(part), "ctrl-")
		if len(c) != 1 {
			return nil, fmt.Errorf("%w: %q in %q: want a character or ctrl-CHARACTER", ErrKeys, part, keys)
		}
		if !isCtrl {
			seq = append(seq, part[0])
			continue
		}
		switch b := c[0]; {
		case b >= 'a' && b <= 'z':
			seq = append(seq, b-'a'+1)
		case strings.IndexByte("@[\\]^_", b) >= 0:
			seq = append(seq, b&0x1f)
		default:
			return nil, fmt.Errorf("%w: ctrl-%c has no code", ErrKeys, b)
		}
	}
	return seq, nil
}

// A KeyFilter passes typed bytes on until it sees the detach sequence. Bytes that
// may begin the sequence are held back until the next ones decide.
type KeyFilter struct {
	seq  []byte
	held int // how many bytes of seq have matched
}

// NewKeyFilter looks for seq; an empty one never matches.
func NewKeyFilter(seq []byte) *KeyFilter { return &KeyFilter{seq: seq} }

// Filter appends to dst what of in goes to the container. Once detached is true
// the rest of in belongs to nobody.
func (k *KeyFilter) Filter(dst, in []byte) (out []byte, detached bool) {
	if len(k.seq) == 0 {
		return append(dst, in...), false
	}
	for _, b := range in {
		for k.held > 0 && b != k.seq[k.held] {
			dst = k.fallBack(dst)
		}
		if b != k.seq[k.held] {
			dst = append(dst, b)
			continue
		}
		if k.held++; k.held == len(k.seq) {
			return dst, true
		}
	}
	return dst, false
}

// fallBack gives up the longest prefix of what is held that can no longer be the
// start of the sequence, and keeps the rest as a shorter match.
func (k *KeyFilter) fallBack(dst []byte) []byte {
	for n := 1; n <= k.held; n++ {
		if string(k.seq[n:k.held]) == string(k.seq[:k.held-n]) {
			dst = append(dst, k.seq[:n]...)
			k.held -= n
			return dst
		}
	}
	return dst
}
