package tiers

import (
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"weir/policy"
)

// Mark remembers that what the origin answered was for its asker alone, so that
// requests of the same kind do not wait for each other (hit-for-miss).
type Mark struct {
	// Reason is why the answer was not stored; none where it was, and needs
	// validation before each use.
	Reason policy.Reason
	// Until is when the mark ends, unix nanoseconds.
	Until int64
	// Epoch and Incarnation are those of the answer's fetch.
	Epoch, Incarnation uint64
}

// MarkKey is what a mark is about: a key, and the kind of request. Requests that
// carry cookies or credentials of their own are told apart from those that do
// not, so that neither decides for the other.
type MarkKey struct {
	Hash     policy.Hash
	Personal bool
}

// Marks holds the marks, in memory only: the most recently used ones, of a
// bounded number. It is apart from what is stored, so that a mark never takes the
// place of an object. Safe for concurrent use.
type Marks struct {
	shards [markShards]markShard
}

type markShard struct {
	mu  sync.Mutex // protects lru
	lru *simplelru.LRU[MarkKey, Mark]
}

const (
	markShards = 16
	// maxMarks is about 16 MiB of memory, and more uncacheable URLs than a busy
	// site is asked for within the time that a mark lasts.
	maxMarks = 128 << 10
)

// NewMarks returns an empty book of marks.
func NewMarks() *Marks {
	m := &Marks{}
	for i := range m.shards {
		lru, err := simplelru.NewLRU[MarkKey, Mark](maxMarks/markShards, nil)
		if err != nil {
			panic("BUG: " + err.Error())
		}
		m.shards[i].lru = lru
	}
	return m
}

func (m *Marks) shard(k *MarkKey) *markShard { return &m.shards[k.Hash[0]%markShards] }

// Set remembers the mark.
func (m *Marks) Set(k MarkKey, v Mark) {
	s := m.shard(&k)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lru.Add(k, v)
}

// Get returns the mark, if there is one that has not ended.
func (m *Marks) Get(k MarkKey, now int64) (Mark, bool) {
	s := m.shard(&k)
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.lru.Get(k)
	if ok && v.Until <= now {
		s.lru.Remove(k)
		ok = false
	}
	return v, ok
}

// Drop forgets the mark.
func (m *Marks) Drop(k MarkKey) {
	s := m.shard(&k)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lru.Remove(k)
}
