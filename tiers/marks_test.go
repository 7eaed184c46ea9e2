package tiers

import (
	"encoding/binary"
	"testing"

	"weir/policy"
)

func TestMarks(t *testing.T) {
	m := NewMarks()
	guest := MarkKey{Hash: policy.Hash{1}}
	own := MarkKey{Hash: policy.Hash{1}, Personal: true}
	m.Set(own, Mark{Reason: policy.ReasonPrivate, Until: 10})
	if _, ok := m.Get(guest, 5); ok {
		t.Error("a mark of one kind of request binds the other")
	}
	if v, ok := m.Get(own, 9); !ok || v.Reason != policy.ReasonPrivate {
		t.Errorf("%+v, %t", v, ok)
	}
	if _, ok := m.Get(own, 10); ok {
		t.Error("a mark outlives its time")
	}
	m.Set(guest, Mark{Until: 10})
	m.Drop(guest)
	if _, ok := m.Get(guest, 5); ok {
		t.Error("a dropped mark is there")
	}
}

// TestMarksBounded: whatever is asked for, the book does not grow beyond its bound.
func TestMarksBounded(t *testing.T) {
	m := NewMarks()
	var k MarkKey
	for i := range uint64(2 * maxMarks) {
		binary.BigEndian.PutUint64(k.Hash[:], i*0x9e3779b97f4a7c15)
		m.Set(k, Mark{Until: 1})
	}
	n := 0
	for i := range m.shards {
		n += m.shards[i].lru.Len()
	}
	if n > maxMarks || n < maxMarks/2 {
		t.Errorf("%d marks, at most %d", n, maxMarks)
	}
	if _, ok := m.Get(k, 0); !ok {
		t.Error("the newest is gone")
	}
}
