package seccomp

import (
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// inst is one instruction of classic BPF.
type inst struct {
	op     uint16
	jt, jf uint8
	k      uint32
}

// Operations, and offsets in struct seccomp_data. Both machines that there are
// tables for have the low half of an argument first.
const (
	opLoad  = 0x20 // A = word at k
	opAnd   = 0x54 // A &= k
	opJump  = 0x05
	opJeq   = 0x15
	opJgt   = 0x25
	opJge   = 0x35
	opRet   = 0x06
	offNr   = 0
	offArch = 4
	offArgs = 16

	// next marks a jump to the end of a rule's body, filled in when that is
	// known. No body is long enough to need the value itself.
	next = 255
	// far is the longest conditional jump.
	far = 255
)

// compile makes the program. With enosys calls too new for the profile give
// ENOSYS.
func compile(s *specs.LinuxSeccomp, goarch string, enosys bool) ([]inst, error) {
	archs, err := selectArchs(s, goarch)
	if err != nil {
		return nil, err
	}
	p, err := newProfile(s)
	if err != nil {
		return nil, err
	}
	p.enosys = enosys && denies(p.def)
	prog := []inst{{opLoad, 0, 0, offArch}}
	for _, a := range archs {
		if a.name == specs.ArchX32 {
			continue // the second half of its host's section
		}
		body := search(p.spans(a))
		if a.name == specs.ArchX86_64 {
			body = joinX32(body, x32Body(p, archs))
		}
		body = append([]inst{{opLoad, 0, 0, offNr}}, body...)
		prog = append(prog, inst{opJeq, 1, 0, a.audit}, inst{opJump, 0, 0, uint32(len(body))})
		prog = append(prog, body...)
	}
	return append(prog, ret(retKillThread)), nil
}

// denies reports whether an action keeps a call from running.
func denies(action uint32) bool {
	switch action & 0xffff0000 {
	case retAllow, retLog, retTrace:
		return false
	}
	return true
}

func ret(action uint32) inst { return inst{opRet, 0, 0, action} }

// x32Body handles the numbers with the x32 bit. Without x32 in the profile they
// are calls of an architecture it does not name; -1 is no call at all and gets
// the default action, as with libseccomp.
func x32Body(p *profile, archs []arch) []inst {
	i := slices.IndexFunc(archs, func(a arch) bool { return a.name == specs.ArchX32 })
	if i < 0 {
		return []inst{{opJeq, 1, 0, noNumber}, ret(retKillThread), ret(p.def)}
	}
	return search(p.spans(archs[i]))
}

func joinX32(amd64, x32 []inst) []inst {
	return append(append(branch(x32Bit, len(amd64)), amd64...), x32...)
}

// branch goes on behind the following n instructions where the number is at
// least lo, else with the first of them.
func branch(lo uint32, n int) []inst {
	if branchLen(n) == 1 {
		return []inst{{opJge, uint8(n), 0, lo}}
	}
	return []inst{{opJge, 0, 1, lo}, {opJump, 0, 0, uint32(n)}}
}

// branchLen is the number of instructions of a branch over n.
func branchLen(n int) int {
	if n <= far {
		return 1
	}
	return 2
}

// span is a range of numbers, up to the next span's, with one body.
type span struct {
	lo   uint32
	body []inst
}

// spans lists the numbers of an architecture.
func (p *profile) spans(a arch) []span {
	other := p.always(p.def)
	list := make([]span, 0, len(p.rules))
	add := func(lo uint32, body []inst) {
		if n := len(list); n > 0 && slices.Equal(list[n-1].body, body) {
			return
		}
		list = append(list, span{lo, body})
	}
	// Numbers that mean nothing to the profile because it is older than them.
	newFrom, newTo := a.limit, a.limit
	if p.enosys {
		newFrom = p.newest(a) + 1
	}
	gap := func(from, to uint32) { // numbers from, below to, that no rule names
		if from < to && from < newFrom {
			add(from, other)
		}
		if mid := max(from, newFrom); mid < min(to, newTo) {
			add(mid, []inst{ret(retErrno | errnoNoSys)})
		}
		if end := max(from, newTo); end < to {
			add(end, other)
		}
	}
	at := a.first
	for _, r := range p.byNumber(a) {
		gap(at, r.nr)
		add(r.nr, p.body(r.rules))
		at = r.nr + 1
	}
	gap(at, noNumber)
	if !slices.Equal(list[len(list)-1].body, other) {
		add(noNumber, other)
	}
	return list
}

// numbered are the rules of one call.
type numbered struct {
	nr    uint32
	rules []rule
}

// byNumber lists the calls of an architecture that have rules, lowest first.
func (p *profile) byNumber(a arch) []numbered {
	keys := make([]uint64, 0, len(p.rules)) // in order of the number, then of the profile
	for i, r := range p.rules {
		if nr, ok := a.number(r.call); ok {
			keys = append(keys, uint64(nr)<<32|uint64(i))
		}
	}
	slices.Sort(keys)
	list := make([]numbered, len(keys))
	for i, k := range keys {
		list[i] = numbered{uint32(k >> 32), p.rules[uint32(k)].rules}
	}
	out := list[:0]
	for len(list) > 0 {
		n := 1
		for n < len(list) && list[n].nr == list[0].nr {
			n++
		}
		out = append(out, numbered{list[0].nr, together(list[:n])})
		list = list[n:]
	}
	return out
}

// together joins what several entries say about the same call.
func together(list []numbered) []rule {
	for _, r := range list {
		if len(r.rules[0].args) == 0 {
			return r.rules
		}
	}
	if len(list) == 1 {
		return list[0].rules
	}
	var all []rule
	for _, r := range list {
		all = append(all, r.rules...)
	}
	return all
}

// newest returns the highest number that the profile names below the
// architecture's limit.
func (p *profile) newest(a arch) uint32 {
	top := a.first
	for _, call := range p.calls {
		if nr, ok := a.number(call); ok && nr < a.limit {
			top = max(top, nr)
		}
	}
	return top
}

// search finds the span of the number in the accumulator.
func search(list []span) []inst {
	return appendSearch(make([]inst, 0, searchLen(list)), list)
}

func appendSearch(out []inst, list []span) []inst {
	if len(list) == 1 {
		return append(out, list[0].body...)
	}
	low, high := list[:len(list)/2], list[len(list)/2:]
	out = append(out, branch(high[0].lo, searchLen(low))...)
	return appendSearch(appendSearch(out, low), high)
}

// searchLen is the number of instructions that appendSearch appends.
func searchLen(list []span) int {
	if len(list) == 1 {
		return len(list[0].body)
	}
	low, high := searchLen(list[:len(list)/2]), searchLen(list[len(list)/2:])
	return branchLen(low) + low + high
}

// body tries the rules of one call in their order.
func (p *profile) body(rules []rule) []inst {
	if len(rules[0].args) == 0 { // most calls
		return p.always(rules[0].ret)
	}
	var out []inst
	for _, r := range rules {
		var code []inst
		for _, a := range r.args {
			code = append(code, test(a)...)
		}
		code = append(code, ret(r.ret))
		out = append(out, resolve(code)...)
		if len(r.args) == 0 {
			return out
		}
	}
	return append(out, ret(p.def))
}

// always is the body of a call that is answered without a look at its arguments.
func (p *profile) always(action uint32) []inst {
	if body := p.bodies[action]; body != nil {
		return body
	}
	p.bodies[action] = []inst{ret(action)}
	return p.bodies[action]
}

// resolve lets the jumps of a failed test lead behind the rule.
func resolve(code []inst) []inst {
	for i := range code {
		end := uint8(len(code) - i - 1)
		if code[i].jt == next {
			code[i].jt = end
		}
		if code[i].jf == next {
			code[i].jf = end
		}
	}
	return code
}

// test falls through where the condition holds and jumps to next where not. An
// argument is compared in two halves.
func test(a specs.LinuxSeccompArg) []inst {
	lo, hi := uint32(offArgs+8*a.Index), uint32(offArgs+8*a.Index+4)
	vlo, vhi := uint32(a.Value), uint32(a.Value>>32)
	loadHi, loadLo := inst{opLoad, 0, 0, hi}, inst{opLoad, 0, 0, lo}
	switch a.Op {
	case specs.OpMaskedEqual: // Value is the mask
		return []inst{
			loadHi,
			{opAnd, 0, 0, vhi},
			{opJeq, 0, next, uint32(a.ValueTwo >> 32)},
			loadLo,
			{opAnd, 0, 0, vlo},
			{opJeq, 0, next, uint32(a.ValueTwo)},
		}
	case specs.OpNotEqual:
		return []inst{loadHi, {opJeq, 0, 2, vhi}, loadLo, {opJeq, next, 0, vlo}}
	case specs.OpGreaterThan:
		return []inst{loadHi, {opJgt, 3, 0, vhi}, {opJeq, 0, next, vhi}, loadLo, {opJgt, 0, next, vlo}}
	case specs.OpGreaterEqual:
		return []inst{loadHi, {opJgt, 3, 0, vhi}, {opJeq, 0, next, vhi}, loadLo, {opJge, 0, next, vlo}}
	case specs.OpLessThan:
		return []inst{loadHi, {opJgt, next, 0, vhi}, {opJeq, 0, 2, vhi}, loadLo, {opJge, next, 0, vlo}}
	case specs.OpLessEqual:
		return []inst{loadHi, {opJgt, next, 0, vhi}, {opJeq, 0, 2, vhi}, loadLo, {opJgt, next, 0, vlo}}
	default: // OpEqualTo
		return []inst{loadHi, {opJeq, 0, next, vhi}, loadLo, {opJeq, 0, next, vlo}}
	}
}
