package disk

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// openedSegment is what the first look at a segment file finds.
type openedSegment struct {
	f      *os.File
	size   int64
	header segHeader
	trail  trailer
	sealed bool // the trailer holds
}

// openSegmentFile opens a segment and finds its salt, in the header or, when that is damaged, in the trailer. The error
// wraps errVersion for a file of another version and errFormat for one that has neither.
func openSegmentFile(path string, num uint32, readOnly bool) (openedSegment, error) {
	flag := os.O_RDWR
	if readOnly {
		flag = os.O_RDONLY
	}
	f, err := os.OpenFile(path, flag, 0)
	if err != nil {
		return openedSegment{}, err
	}
	o, err := inspectSegment(f, num)
	if err != nil {
		_ = f.Close()
		return openedSegment{}, fmt.Errorf("segment %d: %w", num, err)
	}
	return o, nil
}

func inspectSegment(f *os.File, num uint32) (openedSegment, error) {
	st, err := f.Stat()
	if err != nil {
		return openedSegment{}, err
	}
	o := openedSegment{f: f, size: st.Size()}
	if o.size < segHeaderSize || o.size > maxFile || !st.Mode().IsRegular() {
		return o, fmt.Errorf("%w: file of %d bytes", errFormat, o.size)
	}
	b := make([]byte, segHeaderSize)
	if err := readFull(f, b, 0); err != nil {
		return o, err
	}
	h, herr := decodeSegHeader(b)
	if errors.Is(herr, errVersion) {
		return o, herr
	}
	if herr == nil && h.num != num {
		return o, fmt.Errorf("%w: it says it is segment %d", errFormat, h.num)
	}
	if o.size >= segHeaderSize+trailerSize {
		b = b[:trailerSize]
		if err := readFull(f, b, o.size-trailerSize); err != nil {
			return o, err
		}
		t, err := decodeTrailer(b, o.size)
		if err == nil && t.num == num && (herr != nil || t.salt == h.salt) {
			o.trail, o.sealed = t, true
		}
	}
	switch {
	case herr == nil:
		o.header = h
	case o.sealed:
		o.header = segHeader{num: num, salt: o.trail.salt}
	default:
		return o, herr
	}
	return o, nil
}

// loadRecords returns the record list of a segment: its footer, or, where there is none that holds, what a scan finds.
// scanned tells which; end is where the records end.
func loadRecords(f *os.File, num uint32, salt uint64, fileSize int64) (list records, end int64, scanned bool, err error) {
	if fileSize >= segHeaderSize+trailerSize {
		b := make([]byte, trailerSize)
		if err := readFull(f, b, fileSize-trailerSize); err != nil && !errors.Is(err, errFormat) {
			return records{}, 0, false, err
		}
		if t, err := decodeTrailer(b, fileSize); err == nil && t.num == num && t.salt == salt {
			raw := make([]byte, int(t.count)*footEntrySize)
			if readFull(f, raw, t.footOff) == nil {
				if list, err := decodeFooter(raw, t); err == nil {
					return list, t.footOff, false, nil
				}
			}
		}
	}
	list, end, err = scanRecords(f, place{salt: salt, seg: num}, fileSize)
	return list, end, true, err
}

// scanRecords reads a segment record by record. Concurrent writers leave holes when a process dies (a place taken and
// never written), and a header may be damaged, so after a place that holds no record the scan looks for the next one;
// the salt keeps it from taking body bytes for a record. Objects, heads and tombstones are listed only when their whole
// payload verifies: a torn write must not hide the older object under the same hash.
func scanRecords(f io.ReaderAt, p place, size int64) (records, int64, error) {
	w := window{f: f, size: size}
	list := records{seg: p.seg}
	end := int64(segHeaderSize)
	maxOrd := uint32(size / recHeaderSize)
	for off := int64(segHeaderSize); off+recHeaderSize <= size; {
		b, err := w.at(off, recHeaderSize)
		if err != nil {
			return list, end, err
		}
		p.off = off
		h, err := decodeHeader(b, p, size-off)
		if err != nil || h.ord > maxOrd {
			if off, err = w.nextCandidate(off+recAlign, p.salt); err != nil {
				return list, end, err
			}
			continue
		}
		e, ok, err := scanEntry(&w, &h, p)
		if err != nil {
			return list, end, err
		}
		if !ok {
			// A torn or damaged payload: its length may still be right, so the next record follows it.
			e.typ = recVoid
		}
		for uint32(list.count()) <= h.ord {
			list.raw = append(list.raw, make([]byte, footEntrySize)...)
		}
		e.put(list.raw[int(h.ord)*footEntrySize:])
		off += align(h.length())
		end = min(off, size)
	}
	return list, end, nil
}

// scanEntry builds the footer entry of one record; false when its payload does not verify.
func scanEntry(w *window, h *recHeader, p place) (footEntry, bool, error) {
	e := footEntry{hash: h.hash, entry: entry{
		typ: h.typ, class: h.class, seg: p.seg, off8: uint32(p.off / recAlign), len: uint32(h.length()), crc: h.crc, ord: h.ord,
		expires: unixSeconds(h.expires), oldest: p.seg, disk: uint64(align(h.length())),
	}}
	if h.typ == recChunk {
		return e, true, nil // its head carries the checksum of the body
	}
	b, err := w.at(p.off+recHeaderSize, int(h.length()-recHeaderSize))
	if err != nil {
		return e, false, err
	}
	pl, err := splitPayload(h, b)
	if err != nil {
		return e, false, nil
	}
	if h.typ == recHead {
		list, err := decodeExtents(pl.body, h.size)
		if err != nil {
			return e, false, nil
		}
		e.addExtents(list)
	}
	return e, e.oldest <= p.seg, nil
}

// addExtents accounts for the extents that e's object is made of.
func (e *entry) addExtents(list []extent) {
	for _, x := range list {
		e.oldest = min(e.oldest, x.seg)
		e.disk += uint64(align(int64(x.len) + recHeaderSize))
	}
}

const windowSize = 1 << 20

// window reads a file forwards through a buffer.
type window struct {
	f    io.ReaderAt
	size int64
	buf  []byte
	off  int64
}

// at returns n bytes at off, valid until the next call.
func (w *window) at(off int64, n int) ([]byte, error) {
	if off >= w.off && off+int64(n) <= w.off+int64(len(w.buf)) {
		return w.buf[off-w.off:][:n], nil
	}
	want := int(min(int64(max(n, windowSize)), w.size-off))
	if want < n {
		return nil, fmt.Errorf("%w: file ends at %d", errFormat, w.size)
	}
	if cap(w.buf) < want {
		w.buf = make([]byte, want)
	}
	w.buf, w.off = w.buf[:want], off
	if err := readFull(w.f, w.buf, off); err != nil {
		w.buf = w.buf[:0]
		return nil, err
	}
	return w.buf[:n], nil
}

// nextCandidate finds the next aligned offset from off on that looks like a record of this segment; the size of the
// file when there is none.
func (w *window) nextCandidate(off int64, salt uint64) (int64, error) {
	for off+recHeaderSize <= w.size {
		n := int(min(windowSize, w.size-off))
		b, err := w.at(off, n)
		if err != nil {
			return w.size, err
		}
		for i := 0; i+recHeaderSize <= len(b); {
			j := bytes.Index(b[i:], []byte(recMagic))
			if j < 0 {
				break
			}
			i += j
			if (off+int64(i))%recAlign == 0 && looksLikeRecord(b[i:], salt) {
				return off + int64(i), nil
			}
			i++
		}
		// The last header's worth of bytes is looked at again, so that a record across the border is found.
		off += int64(max(n-recHeaderSize+recAlign, recAlign)) &^ (recAlign - 1)
	}
	return w.size, nil
}
