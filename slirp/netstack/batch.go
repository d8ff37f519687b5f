package netstack

import (
	"sync"
	"time"

	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/pkg/sys/inet"
)

const (
	// maxBatch is how many bytes the kernel cuts into datagrams, and maxSegments how
	// many datagrams (UDP_MAX_SEGMENTS, linux/udp.h).
	maxBatch    = 65000
	maxSegments = 64

	// maxBatched is the longest datagram that waits for the next: longer ones gain less
	// than the copy costs.
	maxBatched = 4 << 10
)

// A batch gathers datagrams of one flow, as long as they follow each other and are
// of one size, to send them with one call that the kernel carries through its layers
// as one packet (UDP_SEGMENT, udp(7)). They wait only while there are frames to read.
type batch struct {
	mu    sync.Mutex // one reader as a rule
	flow  *udpFlow
	buf   *[]byte // of udpFlows.bufs, nil where there is nothing
	size  int
	used  int
	count int
}

// toHost sends a datagram of f's guest, soon.
func (n *network) toHost(f *udpFlow, parts [2][]byte) {
	size := len(parts[0]) + len(parts[1])
	b := &n.batch
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.count > 0 && (b.flow != f || b.size != size || b.used+size > maxBatch || b.count == maxSegments) {
		n.sendBatch()
	}
	if f.back != nil || f.single || size == 0 || size > maxBatched {
		n.sendOut(f, parts)
		return
	}
	if b.count == 0 {
		b.buf = n.udp.bufs.Get().(*[]byte) //nolint:forcetypeassert // the pool has nothing else
		b.flow, b.size = f, size
	}
	to := (*b.buf)[b.used:]
	copy(to[copy(to, parts[0]):], parts[1])
	b.used += size
	b.count++
}

// flush sends what waits: there are no more datagrams just now.
func (n *network) flush() {
	n.batch.mu.Lock()
	if n.batch.count > 0 {
		n.sendBatch()
	}
	n.batch.mu.Unlock()
}

// sendBatch sends what waits. Where that fails the datagrams go one by one: it may
// be the error of an earlier one, which takes the place of one only, or they are too
// long for the route, or its device cannot do it.
func (n *network) sendBatch() {
	b := &n.batch
	f, all := b.flow, (*b.buf)[:b.used]
	f.last.Store(time.Now().UnixNano())
	if b.count > 1 && !f.single {
		var err error
		_ = f.raw.Control(func(fd uintptr) {
			if err = inet.SendSegments(int(fd), all, b.size); err != nil && !sys.WouldBlock(err) {
				inet.DropErrors(int(fd))
			}
		})
		switch {
		case err == nil:
			n.stats.bytesOut.Add(uint64(len(all))) //nolint:gosec // a length
			all = nil
		case sys.WouldBlock(err):
			n.stats.limited.Add(uint64(b.count)) //nolint:gosec // a count
			all = nil
		case inet.NoSegments(err):
			f.single = true
		default:
			n.udpError(f, err)
			all = all[b.size:]
		}
	}
	for ; len(all) > 0; all = all[b.size:] {
		n.sendOut(f, [2][]byte{all[:b.size]})
	}
	n.udp.bufs.Put(b.buf)
	b.flow, b.buf, b.used, b.count = nil, nil, 0, 0
}
