package disk

import (
	"math/bits"
	"sync"
)

// Buffers for reads come in powers of two, so that what a small object needs is
// not what a large one leaves behind. A read of 100 KiB into new memory costs a
// third more than one into memory that is warm, and the collector runs for it.
const (
	leastBuffer = 12 // 4 KiB
	mostBuffer  = 20 // 1 MiB; what is larger is not kept
	// bufferSlack is on top of each, for what a record has beside a body that is
	// itself a power of two.
	bufferSlack = 4 << 10
)

var readBuffers [mostBuffer - leastBuffer + 1]sync.Pool // of *[]byte

// borrow returns n bytes of garbage, to be given back once nobody reads them.
func borrow(n int) *[]byte {
	class := max(bits.Len(uint(max(n-bufferSlack, 1)-1)), leastBuffer)
	if class > mostBuffer {
		b := make([]byte, n)
		return &b
	}
	if b, ok := readBuffers[class-leastBuffer].Get().(*[]byte); ok {
		*b = (*b)[:n]
		return b
	}
	b := make([]byte, n, 1<<class+bufferSlack)
	return &b
}

// giveBack takes what borrow returned.
func giveBack(b *[]byte) {
	n := cap(*b) - bufferSlack
	if class := bits.Len(uint(max(n, 1)) - 1); n > 0 && n == 1<<class && class <= mostBuffer && class >= leastBuffer {
		readBuffers[class-leastBuffer].Put(b)
	}
}
