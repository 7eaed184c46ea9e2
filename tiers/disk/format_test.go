package disk

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"testing"
)

// reversion turns an encoded segment header into one of a later format.
func reversion(b []byte) []byte {
	binary.LittleEndian.PutUint32(b[8:], formatVersion+1)
	binary.LittleEndian.PutUint32(b[60:], crc32.Checksum(b[:60], castagnoli))
	return b
}

var testPlace = place{salt: 0x1122334455667788, seg: 7, off: 640}

func sampleRecord() (recHeader, []byte) {
	key, meta, body := []byte("key"), []byte("metadata"), []byte("the body")
	h := recHeader{
		typ: recObject, hash: Hash{1, 2, 3}, keyLen: 3, metaLen: 8, bodyLn: 8, ord: 5, expires: 1234567, stored: 7654321,
		size: 8, kmCRC: crc32.Checksum([]byte("keymetadata"), castagnoli), bodyCRC: crc32.Checksum(body, castagnoli),
	}
	b := make([]byte, recHeaderSize)
	h.encode(b, testPlace)
	return h, append(append(append(b, key...), meta...), body...)
}

func TestRecordHeader(t *testing.T) {
	h, b := sampleRecord()
	got, err := decodeHeader(b, testPlace, int64(len(b)))
	if err != nil || got != h {
		t.Fatalf("%+v, %v", got, err)
	}
	p, err := splitPayload(&got, b[recHeaderSize:])
	if err != nil || string(p.key) != "key" || string(p.meta) != "metadata" || string(p.body) != "the body" {
		t.Fatalf("%q, %v", p, err)
	}
	for _, p := range []place{
		{testPlace.salt, testPlace.seg, testPlace.off + 8},
		{testPlace.salt, testPlace.seg + 1, testPlace.off},
		{testPlace.salt + 1, testPlace.seg, testPlace.off},
	} {
		if _, err := decodeHeader(b, p, int64(len(b))); err == nil {
			t.Errorf("a record is valid at %+v", p)
		}
	}
	if _, err := decodeHeader(b, testPlace, int64(len(b))-1); err == nil {
		t.Error("a record that does not fit is valid")
	}
	for i := range b {
		for bit := range 8 {
			c := bytes.Clone(b)
			c[i] ^= 1 << bit
			h, err := decodeHeader(c, testPlace, int64(len(c)))
			if err == nil {
				_, err = splitPayload(&h, c[recHeaderSize:])
			}
			if err == nil {
				t.Fatalf("flip of bit %d in byte %d passes", bit, i)
			}
		}
	}
}

func TestEntryEncoding(t *testing.T) {
	e := entry{typ: recHead, seg: 9, off8: 100, len: 200, crc: 3, ord: 4, expires: 5, oldest: 6, disk: 1 << 40}
	if got, err := decodeEntry(e.encode()); err != nil || got != e {
		t.Fatalf("%+v, %v", got, err)
	}
	raw := make([]byte, 2*footEntrySize)
	e.ord = 1
	footEntry{hash: Hash{9}, entry: e}.put(raw[footEntrySize:])
	list := records{seg: 9, raw: raw}
	if got := list.at(1); got.hash != (Hash{9}) || got.entry != e {
		t.Fatalf("%+v", got)
	}
	if list.at(0).typ != recVoid {
		t.Fatal("an empty slot is a record")
	}
}

func TestExtentsRefused(t *testing.T) {
	good := []extent{{1, 2, 64, 100}, {1, 2, 300, 100}, {2, 2, 64, 50}}
	if got, err := decodeExtents(appendExtents(nil, good), 250); err != nil || len(got) != 3 || got[2] != good[2] {
		t.Fatalf("%v, %v", got, err)
	}
	for name, c := range map[string]struct {
		list []extent
		size uint64
	}{
		"sum":         {good, 251},
		"longer last": {[]extent{{1, 2, 64, 100}, {1, 2, 300, 101}}, 201},
		"short first": {[]extent{{1, 2, 64, 100}, {1, 2, 300, 50}, {1, 2, 400, 100}}, 250},
		"empty":       {[]extent{{1, 2, 64, 0}}, 0},
		"offset":      {[]extent{{1, 2, 8, 100}}, 100},
		"far":         {[]extent{{1, 2, 1 << 50, 100}}, 100},
		"huge":        {[]extent{{1, 2, 64, 1 << 31}}, 1 << 31},
	} {
		if _, err := decodeExtents(appendExtents(nil, c.list), c.size); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// A body that holds a perfect record of its own must not be taken for one when the scan has lost its way.
func TestScanIgnoresForgedRecords(t *testing.T) {
	p := testPlace
	inner := func(salt uint64, off int64) []byte {
		h := recHeader{typ: recObject, hash: Hash{0xEE}, kmCRC: crc32.Checksum(nil, castagnoli), bodyCRC: crc32.Checksum(nil, castagnoli), ord: 1}
		b := make([]byte, recHeaderSize)
		h.encode(b, place{salt: salt, seg: p.seg, off: off})
		return b
	}
	build := func(salt uint64) []byte {
		file := make([]byte, segHeaderSize)
		body := make([]byte, 8)
		body = append(body, inner(salt, segHeaderSize+recHeaderSize+8)...)
		h := recHeader{typ: recObject, hash: Hash{1}, bodyLn: uint32(len(body)), kmCRC: crc32.Checksum(nil, castagnoli), bodyCRC: crc32.Checksum(body, castagnoli)}
		b := make([]byte, recHeaderSize)
		h.encode(b, place{salt: p.salt, seg: p.seg, off: segHeaderSize})
		b[20] ^= 1 // the outer header is damaged, so the scan searches
		return append(append(file, b...), body...)
	}
	count := func(file []byte) int {
		list, _, err := scanRecords(bytes.NewReader(file), p, int64(len(file)))
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for i := range list.count() {
			if list.at(i).typ != recVoid {
				n++
			}
		}
		return n
	}
	if n := count(build(p.salt + 1)); n != 0 {
		t.Fatalf("%d forged records found", n)
	}
	if n := count(build(p.salt)); n != 1 {
		t.Fatalf("the search found %d records with the right salt, want 1", n)
	}
}

func FuzzRecordHeader(f *testing.F) {
	_, b := sampleRecord()
	f.Add(b, true)
	f.Add(b[:50], false)
	f.Fuzz(func(t *testing.T, b []byte, fix bool) {
		if fix && len(b) >= recHeaderSize {
			copy(b, recMagic)
			binary.LittleEndian.PutUint64(b[8:], testPlace.salt)
			binary.LittleEndian.PutUint32(b[84:], testPlace.checksum(b[:84]))
		}
		h, err := decodeHeader(b, testPlace, int64(len(b)))
		if err != nil {
			return
		}
		if h.length() > int64(len(b)) {
			t.Fatalf("length %d of %d", h.length(), len(b))
		}
		p, err := splitPayload(&h, b[recHeaderSize:])
		if err == nil && len(p.key)+len(p.meta)+len(p.body)+recHeaderSize != int(h.length()) {
			t.Fatal("payload does not add up")
		}
	})
}

func FuzzFooter(f *testing.F) {
	raw := make([]byte, 2*footEntrySize)
	t := trailer{num: 7, salt: 1, footOff: segHeaderSize, count: 2, footCRC: crc32.Checksum(raw, castagnoli)}
	f.Add(append(append(make([]byte, segHeaderSize), raw...), t.encode()...), true)
	f.Add([]byte("short"), false)
	f.Fuzz(func(t *testing.T, b []byte, fix bool) {
		if len(b) < trailerSize {
			return
		}
		tail := b[len(b)-trailerSize:]
		if fix {
			copy(tail, footMagic)
			binary.LittleEndian.PutUint32(tail[8:], formatVersion)
			binary.LittleEndian.PutUint32(tail[44:], crc32.Checksum(tail[:44], castagnoli))
		}
		tr, err := decodeTrailer(tail, int64(len(b)))
		if err != nil {
			return
		}
		raw := b[tr.footOff : tr.footOff+int64(tr.count)*footEntrySize]
		tr.footCRC = crc32.Checksum(raw, castagnoli)
		list, err := decodeFooter(raw, tr)
		if err != nil {
			t.Fatal(err)
		}
		for i := range list.count() {
			r := list.at(i)
			if r.typ != recVoid && (r.len > maxRecord || r.oldest > tr.num || r.typ > recTomb) {
				t.Fatalf("%+v", r)
			}
		}
	})
}

func FuzzExtents(f *testing.F) {
	f.Add(appendExtents(nil, []extent{{1, 2, 64, 100}, {1, 2, 300, 50}}), uint64(150))
	f.Add([]byte{}, uint64(0))
	f.Fuzz(func(t *testing.T, b []byte, size uint64) {
		list, err := decodeExtents(b, size)
		if err != nil {
			return
		}
		for off := uint64(0); off < size; off += max(size/16, 1) {
			i := off / uint64(list[0].len)
			if i >= uint64(len(list)) || off-i*uint64(list[0].len) >= uint64(list[i].len) {
				t.Fatalf("offset %d has no extent", off)
			}
		}
		if !bytes.Equal(appendExtents(nil, list), maskReserved(b)) {
			t.Fatal("does not encode back")
		}
	})
}

func maskReserved(b []byte) []byte {
	b = bytes.Clone(b)
	for i := 20; i < len(b); i += extentSize {
		clear(b[i : i+4])
	}
	return b
}

func FuzzScan(f *testing.F) {
	h, rec := sampleRecord()
	p := place{salt: testPlace.salt, seg: testPlace.seg, off: segHeaderSize}
	h.encode(rec, p)
	f.Add(append(make([]byte, segHeaderSize), rec...))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, end, err := scanRecords(bytes.NewReader(b), testPlace, int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		if end > max(int64(len(b)), segHeaderSize) || list.count() > len(b)/recHeaderSize+1 {
			t.Fatalf("end %d, %d records in %d bytes", end, list.count(), len(b))
		}
	})
}

func FuzzIndexValue(f *testing.F) {
	f.Add(entry{typ: recObject, seg: 9, off8: 100, len: 200, oldest: 6}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, err := decodeEntry(b); err == nil && (e.oldest > e.seg || e.len > maxRecord) {
			t.Fatalf("%+v", e)
		}
	})
}
