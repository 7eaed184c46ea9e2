package disk

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2"
)

// Fault is one thing that is not as it was written.
type Fault struct {
	// File relative to the directory, and where in it; -1: the file as a whole.
	File   string
	Offset int64
	// Key of the object concerned, where it can be told.
	Key  string
	What string
}

func (f Fault) String() string {
	s := f.File
	if f.Offset >= 0 {
		s += fmt.Sprintf(" at %d", f.Offset)
	}
	s += ": " + f.What
	if f.Key != "" {
		s += " (" + f.Key + ")"
	}
	return s
}

// Verified is what Verify looked at.
type Verified struct {
	Segments, Records, Objects, IndexEntries int64
	Bytes                                    int64 // read and checked
	Unsealed                                 int64 // segments without a footer: they were being written
	Faults                                   int64
}

// Verify reads every byte of the segments, holds every checksum, and holds index and segments against each other.
// report is called for each fault; progress, if not nil, with the bytes that are behind. The error is that it could not
// go on; faults are none.
func (i *Inspection) Verify(progress func(done int64), report func(Fault)) (Verified, error) {
	v := verifier{i: i, report: report, segs: make(map[uint32]int, len(i.Segments))}
	defer v.close()
	for n, s := range i.Segments {
		v.segs[s.Number] = n
	}
	for _, name := range i.Aside {
		v.fault(name, -1, "", "set aside by an earlier process: it was damaged, or of another version or store")
	}
	if i.ID == [16]byte{} {
		v.fault(storeName, -1, "", "the identity of the store is missing or damaged; the next start takes it from the segments")
	}
	if i.IndexError != nil && !i.InUse {
		v.fault(cmp.Or(i.Index, "index"), -1, "", "not usable, the next start builds it again from the segments: "+i.IndexError.Error())
	}
	var done int64
	for _, s := range i.Segments {
		if err := v.segment(s); err != nil {
			return v.Verified, err
		}
		done += s.Bytes
		if progress != nil {
			progress(done)
		}
	}
	if i.IndexError == nil {
		if err := v.index(); err != nil {
			v.fault(i.Index, -1, "", err.Error())
		}
	}
	return v.Verified, nil
}

type verifier struct {
	Verified
	i      *Inspection
	report func(Fault)
	segs   map[uint32]int
	open   *os.File // of the segment that extents were read from last
	openNo uint32
}

func (v *verifier) close() {
	if v.open != nil {
		_ = v.open.Close()
	}
}

func (v *verifier) fault(file string, off int64, key, what string) {
	v.Faults++
	v.report(Fault{File: file, Offset: off, Key: key, What: what})
}

func (v *verifier) segment(s SegmentFile) error {
	if s.Err != nil {
		if s.Bytes > segHeaderSize { // a smaller one was being created
			v.fault(s.Name, -1, "", s.Err.Error())
		}
		return nil
	}
	f, err := os.Open(filepath.Join(v.i.Dir, s.Name))
	if err != nil {
		if errors.Is(err, os.ErrNotExist) && v.i.InUse {
			return nil // evicted meanwhile
		}
		v.fault(s.Name, -1, "", err.Error())
		return nil
	}
	defer f.Close()
	v.Segments++
	list, _, scanned, err := loadRecords(f, s.Number, s.salt, s.Bytes)
	if err != nil {
		v.fault(s.Name, -1, "", err.Error())
	}
	if scanned {
		v.Unsealed++
		if s.Sealed {
			v.fault(s.Name, -1, "", "its footer is damaged; the records were found by a scan")
		}
	}
	for n := range list.count() {
		rec := list.at(n)
		if rec.typ == recVoid {
			continue
		}
		v.Records++
		v.record(f, s, rec)
	}
	return nil
}

// record reads one record whole and checks it.
func (v *verifier) record(f *os.File, s SegmentFile, rec footEntry) {
	if rec.off()+int64(rec.len) > s.Bytes {
		v.fault(s.Name, rec.off(), "", "the footer names a record behind the end of the file")
		return
	}
	b := make([]byte, rec.len)
	if err := readFull(f, b, rec.off()); err != nil {
		v.fault(s.Name, rec.off(), "", err.Error())
		return
	}
	v.Bytes += int64(rec.len)
	h, err := decodeHeader(b, place{salt: s.salt, seg: s.Number, off: rec.off()}, int64(len(b)))
	if err == nil && (h.crc != rec.crc || h.hash != rec.hash || h.typ != rec.typ || h.length() != int64(rec.len)) {
		err = fmt.Errorf("%w: not the record that the footer names", errFormat)
	}
	if err != nil {
		v.fault(s.Name, rec.off(), "", err.Error())
		return
	}
	p, err := splitPayload(&h, b[recHeaderSize:])
	if err != nil {
		key := ""
		if h.typ == recObject || h.typ == recHead {
			key = string(b[recHeaderSize:][:h.keyLen])
		}
		v.fault(s.Name, rec.off(), key, err.Error())
		return
	}
	current, err := v.i.current(rec)
	if err != nil {
		v.fault(v.i.Index, -1, string(p.key), err.Error())
		return
	}
	if current {
		v.Objects++
	}
	if h.typ != recHead || !current {
		return
	}
	list, err := decodeExtents(p.body, h.size)
	if err != nil {
		v.fault(s.Name, rec.off(), string(p.key), err.Error())
		return
	}
	for _, x := range list {
		if err := v.extent(x); err != nil {
			v.fault(s.Name, rec.off(), string(p.key), err.Error())
			return
		}
	}
}

// extent checks that the bytes a head speaks of are there. A chunk's own record, which is read in its turn, has the
// same checksum in its header; only a body that lies in an object's record is read again.
func (v *verifier) extent(x extent) error {
	n, ok := v.segs[x.seg]
	if !ok {
		return fmt.Errorf("segment %d, which it needs, is missing", x.seg)
	}
	s := v.i.Segments[n]
	if v.open == nil || v.openNo != x.seg {
		v.close()
		f, err := os.Open(filepath.Join(v.i.Dir, s.Name))
		if err != nil {
			v.open = nil
			return err
		}
		v.open, v.openNo = f, x.seg
	}
	b := make([]byte, recHeaderSize)
	if err := readFull(v.open, b, x.off-recHeaderSize); err == nil {
		h, err := decodeHeader(b, place{salt: s.salt, seg: x.seg, off: x.off - recHeaderSize}, s.Bytes-x.off+recHeaderSize)
		if err == nil && h.typ == recChunk && h.bodyCRC == x.crc && h.bodyLn == x.len {
			return nil
		}
	}
	if x.off+int64(x.len) > s.Bytes {
		return fmt.Errorf("segment %d, which it needs, is cut", x.seg)
	}
	if err := checkExtent(v.open, x); err != nil {
		return fmt.Errorf("in segment %d at %d: %w", x.seg, x.off, err)
	}
	v.Bytes += int64(x.len)
	return nil
}

// index holds each entry of the index against the record that it names.
func (v *verifier) index() (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("index read: panic: %v", r)
		}
	}()
	it, err := v.i.db.NewIter(&pebble.IterOptions{LowerBound: []byte("o"), UpperBound: []byte("p")})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.First(); ok; ok = it.Next() {
		v.IndexEntries++
		e, err := decodeEntry(it.Value())
		if err != nil || len(it.Key()) != 17 {
			v.fault(v.i.Index, -1, "", "an entry that makes no sense")
			continue
		}
		if e.oldest < v.i.floor || !e.counts() {
			continue // the next start drops it; or a tombstone
		}
		if err := v.entry(e, Hash(it.Key()[1:])); err != nil {
			v.fault(v.i.Index, -1, "", err.Error())
		}
	}
	return it.Error()
}

func (v *verifier) entry(e entry, h Hash) error {
	if pos, ok := v.i.newest[h]; ok && pos != e.pos() {
		return nil // replaced by what the next start replays
	}
	n, ok := v.segs[e.seg]
	if !ok {
		return fmt.Errorf("an entry names segment %d, which is missing", e.seg)
	}
	s := v.i.Segments[n]
	if s.Err != nil {
		return nil // told
	}
	f, err := os.Open(filepath.Join(v.i.Dir, s.Name))
	if err != nil {
		return err
	}
	defer f.Close()
	b := make([]byte, recHeaderSize)
	if err := readFull(f, b, e.off()); err != nil {
		return fmt.Errorf("an entry names a record of segment %d at %d: %w", e.seg, e.off(), err)
	}
	hd, err := decodeHeader(b, place{salt: s.salt, seg: e.seg, off: e.off()}, s.Bytes-e.off())
	if err == nil && (hd.hash != h || hd.crc != e.crc) {
		err = errors.New("another record is there")
	}
	if err != nil {
		return fmt.Errorf("an entry names a record of segment %d at %d: %w", e.seg, e.off(), err)
	}
	return nil
}

// checkExtent reads an extent and holds its checksum.
func checkExtent(f io.ReaderAt, x extent) error {
	b := make([]byte, x.len)
	if err := readFull(f, b, x.off); err != nil {
		return err
	}
	return verifyExtent(b, x)
}
