package bus

import (
	"fmt"
	"strings"
	"testing"

	"weir/invalidation"
)

// TestQueueIsBoundedInBytes: a burst of small purges waits for the bus, however late that comes to it; of large ones
// only what memory allows.
func TestQueueIsBoundedInBytes(t *testing.T) {
	b := &Bus{wake: make(chan struct{}, 1)}
	for i := range 100_000 {
		b.onApplied(invalidation.Purge{Facts: ofTag(i)})
	}
	if b.overflow || len(b.queue) != 100_000 {
		t.Errorf("%d of 100,000 small purges wait, overflow %v", len(b.queue), b.overflow)
	}
	b = &Bus{wake: make(chan struct{}, 1)}
	var facts []invalidation.Fact
	for i := range 31 {
		facts = append(facts, invalidation.Fact{Kind: invalidation.Tag, Scope: fmt.Sprint(i, strings.Repeat("x", 16<<10-10))})
	}
	large := invalidation.Purge{Facts: facts}
	for range 1000 {
		b.onApplied(large)
	}
	if held := len(b.queue) * large.Size(); !b.overflow || held > maxQueue+large.Size() {
		t.Errorf("%d bytes wait, overflow %v", held, b.overflow)
	}
}
