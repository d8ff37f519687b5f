package netstack

import (
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

const (
	// initialBuffer is what a connection starts with in each direction, in bytes; the
	// stack lets it grow with the rate.
	initialBuffer = 256 << 10
	// maxBuffer is as large as it gets, minBuffer as small as the budget makes it.
	maxBuffer = 4 << 20
	minBuffer = 8 << 10

	// timeWaitFor is how long the end of a connection is remembered.
	timeWaitFor = 100 * time.Millisecond
)

// budget divides the bytes that TCP buffers may hold among the connections. The
// limit of each is the budget over twice their number, for the two directions,
// rounded down to a power of two, so that it changes rarely. When it shrinks, the
// buffers of those that exist shrink too: what they hold already is sent, but they
// take no more.
type budget struct {
	stack *stack.Stack
	total int

	mu    sync.Mutex
	limit int
	eps   map[tcpip.Endpoint]struct{}
}

func newBudget(s *stack.Stack, total int) *budget {
	b := &budget{stack: s, total: total, eps: map[tcpip.Endpoint]struct{}{}}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.setLimit(shareOf(total, 1))
	return b
}

// shareOf is the limit of a buffer where there are n connections.
func shareOf(total, n int) int {
	share := total / (2 * max(n, 1))
	limit := maxBuffer
	for limit > share && limit > minBuffer {
		limit /= 2
	}
	return limit
}

func (b *budget) add(ep tcpip.Endpoint) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.eps[ep] = struct{}{}
	if limit := shareOf(b.total, len(b.eps)); limit != b.limit {
		b.setLimit(limit)
		return
	}
	if b.limit < initialBuffer {
		shrink(ep, b.limit)
	}
}

func (b *budget) remove(ep tcpip.Endpoint) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.eps, ep)
	if limit := shareOf(b.total, len(b.eps)); limit != b.limit {
		b.setLimit(limit)
	}
}

func (b *budget) setLimit(limit int) {
	shrunk := limit < b.limit
	b.limit = limit
	initial := min(initialBuffer, limit)
	rcv := tcpip.TCPReceiveBufferSizeRangeOption{Min: minBuffer, Default: initial, Max: limit}
	snd := tcpip.TCPSendBufferSizeRangeOption{Min: minBuffer, Default: initial, Max: limit}
	// The values are in range, which is all that the stack checks.
	_ = b.stack.SetTransportProtocolOption(tcp.ProtocolNumber, &rcv)
	_ = b.stack.SetTransportProtocolOption(tcp.ProtocolNumber, &snd)
	if !shrunk {
		return
	}
	for ep := range b.eps {
		shrink(ep, limit)
	}
}

func shrink(ep tcpip.Endpoint, limit int) {
	o := ep.SocketOptions()
	if o.GetReceiveBufferSize() > int64(limit) {
		o.SetReceiveBufferSize(int64(limit), true)
	}
	if o.GetSendBufferSize() > int64(limit) {
		o.SetSendBufferSize(int64(limit), true)
	}
}
