package tiers

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"weir/policy"
	"weir/tiers/disk"
)

// parts says beside which keys a part may be stored. Parts have keys of their own,
// and there is seldom one: a miss must not pay a hash and a look into the index to
// learn that.
//
// It is a Bloom filter over the keys beside which one was ever stored: 128 KiB, two
// bits for a key, none of which is ever cleared. A hundred thousand keys make it
// wrong in one of thirty answers, and then a part is looked for in vain.
//
// It must outlive the process, as what is on disk does, so it is written beside the
// disk tier within a second of a change. What a crash cuts off is a part that is
// not found, and fetched again. Where the file is missing or another store's, every
// key may have a part, unless the store is empty.
type parts struct {
	bits [partWords]atomic.Uint64
	// changed since it was last written; saving while it is being written.
	changed, saving atomic.Bool
}

const (
	partWords     = 1 << 14
	partsName     = "parts"
	partsMagic    = "WEIRPRT\x01"
	partsSize     = len(partsMagic) + 16 + partWords*8
	partsPatience = time.Second
)

// MayHavePart reports whether a part may be stored beside what has the hash, under
// a key that the caller makes. It costs two reads of memory.
func (s *Store) MayHavePart(h *policy.Hash) bool {
	a, b := partBits(h)
	return s.parts.bits[a>>6].Load()&(1<<(a&63)) != 0 && s.parts.bits[b>>6].Load()&(1<<(b&63)) != 0
}

// NotePart makes MayHavePart true for the hash. It is called before the part is
// stored, and never waits.
func (s *Store) NotePart(h *policy.Hash) {
	a, b := partBits(h)
	for _, i := range []uint32{a, b} {
		if bit := uint64(1) << (i & 63); s.parts.bits[i>>6].Or(bit)&bit == 0 {
			s.parts.changed.Store(true)
		}
	}
}

func partBits(h *policy.Hash) (a, b uint32) {
	const mask = partWords*64 - 1
	return binary.LittleEndian.Uint32(h[:]) & mask, binary.LittleEndian.Uint32(h[4:]) & mask
}

// load adds what was noted for the store in its directory.
func (p *parts) load(dir string, d *disk.Store) {
	id := d.ID()
	b, err := os.ReadFile(filepath.Join(dir, partsName))
	known := err == nil && len(b) == partsSize && string(b[:len(partsMagic)]) == partsMagic && [16]byte(b[len(partsMagic):]) == id
	switch st := d.Stats(); {
	case known:
		for i := range p.bits {
			p.bits[i].Or(binary.LittleEndian.Uint64(b[len(partsMagic)+16+i*8:]))
		}
		return
	case st.Objects > 0 || st.Counting || st.Rebuilding:
		for i := range p.bits {
			p.bits[i].Store(1<<64 - 1)
		}
	}
	p.changed.Store(true)
}

// save writes the filter beside the store where it has changed. It returns at once;
// done is closed when that is over, since the device may take its time.
func (p *parts) save(dir string, d *disk.Store) (done chan struct{}) {
	done = make(chan struct{})
	if !p.changed.Load() || !p.saving.CompareAndSwap(false, true) {
		close(done)
		return done
	}
	p.changed.Store(false)
	b := make([]byte, 0, partsSize)
	b = append(b, partsMagic...)
	id := d.ID()
	b = append(b, id[:]...)
	for i := range p.bits {
		b = binary.LittleEndian.AppendUint64(b, p.bits[i].Load())
	}
	go func() {
		defer close(done)
		defer p.saving.Store(false)
		path := filepath.Join(dir, partsName)
		err := os.WriteFile(path+".tmp", b, 0o600)
		if err == nil {
			err = os.Rename(path+".tmp", path)
		}
		if err != nil {
			p.changed.Store(true)
		}
	}()
	return done
}

// finish is save for the last time: it waits, but not for a device that hangs.
func (p *parts) finish(dir string, d *disk.Store) {
	t := time.NewTimer(partsPatience)
	defer t.Stop()
	select {
	case <-p.save(dir, d):
	case <-t.C:
	}
}
