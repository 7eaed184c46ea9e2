package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"time"
)

const (
	segMagic      = "WEIRSEG\x00"
	footMagic     = "WEIRFTR\x00"
	formatVersion = 1
	segHeaderSize = 64
	trailerSize   = 48
	footEntrySize = 48
	entrySize     = 40
	entryVersion  = 1
	// maxFile bounds segment files: offsets are stored in units of 8 bytes in 32 bits.
	maxFile = 8 << 32
)

// errVersion: a file of a format that this code does not know.
var errVersion = errors.New("unknown format version")

// segHeader is the start of a segment file.
type segHeader struct {
	num     uint32
	salt    uint64
	created int64
	store   [16]byte
}

func (h segHeader) encode() []byte {
	b := make([]byte, segHeaderSize)
	le := binary.LittleEndian
	copy(b, segMagic)
	le.PutUint32(b[8:], formatVersion)
	le.PutUint32(b[12:], h.num)
	le.PutUint64(b[16:], h.salt)
	le.PutUint64(b[24:], uint64(h.created))
	copy(b[32:48], h.store[:])
	le.PutUint32(b[60:], crc32.Checksum(b[:60], castagnoli))
	return b
}

// decodeSegHeader answers errVersion only when the checksum holds: a flipped bit is damage, not another version.
func decodeSegHeader(b []byte) (segHeader, error) {
	var h segHeader
	le := binary.LittleEndian
	if len(b) < segHeaderSize || string(b[:8]) != segMagic || le.Uint32(b[60:]) != crc32.Checksum(b[:60], castagnoli) {
		return h, fmt.Errorf("%w: segment header", errFormat)
	}
	if v := le.Uint32(b[8:]); v != formatVersion {
		return h, fmt.Errorf("%w: %d", errVersion, v)
	}
	h.num, h.salt, h.created = le.Uint32(b[12:]), le.Uint64(b[16:]), int64(le.Uint64(b[24:]))
	copy(h.store[:], b[32:48])
	return h, nil
}

// trailer is the end of a sealed segment file.
type trailer struct {
	num     uint32
	salt    uint64
	footOff int64
	count   uint32
	footCRC uint32
}

func (t trailer) encode() []byte {
	b := make([]byte, trailerSize)
	le := binary.LittleEndian
	copy(b, footMagic)
	le.PutUint32(b[8:], formatVersion)
	le.PutUint32(b[12:], t.num)
	le.PutUint64(b[16:], t.salt)
	le.PutUint64(b[24:], uint64(t.footOff))
	le.PutUint32(b[32:], t.count)
	le.PutUint32(b[36:], t.footCRC)
	le.PutUint32(b[44:], crc32.Checksum(b[:44], castagnoli))
	return b
}

// decodeTrailer checks b against the size of its file: the footer must fill exactly what lies between.
func decodeTrailer(b []byte, fileSize int64) (trailer, error) {
	var t trailer
	le := binary.LittleEndian
	if len(b) != trailerSize || string(b[:8]) != footMagic || le.Uint32(b[44:]) != crc32.Checksum(b[:44], castagnoli) {
		return t, fmt.Errorf("%w: no trailer", errFormat)
	}
	if v := le.Uint32(b[8:]); v != formatVersion {
		return t, fmt.Errorf("%w: %d", errVersion, v)
	}
	t.num, t.salt, t.footOff = le.Uint32(b[12:]), le.Uint64(b[16:]), int64(le.Uint64(b[24:]))
	t.count, t.footCRC = le.Uint32(b[32:]), le.Uint32(b[36:])
	if t.footOff < segHeaderSize || t.footOff > fileSize || t.footOff+int64(t.count)*footEntrySize+trailerSize != fileSize {
		return t, fmt.Errorf("%w: trailer does not fit its file", errFormat)
	}
	return t, nil
}

// entry is what the index knows of one hash, and, with the hash, what a footer holds of one record.
type entry struct {
	typ     recType
	class   uint8
	seg     uint32
	off8    uint32 // offset of the record / 8
	len     uint32 // of the record, without padding
	crc     uint32 // of the record's header
	ord     uint32
	expires uint32 // unix s; at the bounds when it lies outside
	oldest  uint32 // the object is gone when this segment is
	disk    uint64 // bytes of the whole object on disk
}

func (e entry) off() int64 { return int64(e.off8) * recAlign }

// pos orders records by the time their place was taken.
func (e entry) pos() uint64 { return uint64(e.seg)<<32 | uint64(e.off8) }

// counts tells whether the entry is an object that a Get can find.
func (e entry) counts() bool { return e.typ == recObject || e.typ == recHead }

// unbackedTomb, as the size of a tombstone, marks one that stands in the index only.
const unbackedTomb = 1

func (e entry) unbacked() bool { return e.typ == recTomb && e.disk == unbackedTomb }

func (e entry) encode() []byte {
	b := make([]byte, entrySize)
	le := binary.LittleEndian
	b[0], b[1], b[2] = entryVersion, byte(e.typ), e.class
	le.PutUint32(b[4:], e.seg)
	le.PutUint32(b[8:], e.off8)
	le.PutUint32(b[12:], e.len)
	le.PutUint32(b[16:], e.crc)
	le.PutUint32(b[20:], e.ord)
	le.PutUint32(b[24:], e.expires)
	le.PutUint32(b[28:], e.oldest)
	le.PutUint64(b[32:], e.disk)
	return b
}

func decodeEntry(b []byte) (entry, error) {
	if len(b) != entrySize || b[0] != entryVersion {
		return entry{}, fmt.Errorf("%w: index value of %d bytes", errFormat, len(b))
	}
	le := binary.LittleEndian
	e := entry{
		typ: recType(b[1]), class: b[2], seg: le.Uint32(b[4:]), off8: le.Uint32(b[8:]), len: le.Uint32(b[12:]),
		crc: le.Uint32(b[16:]), ord: le.Uint32(b[20:]), expires: le.Uint32(b[24:]),
		oldest: le.Uint32(b[28:]), disk: le.Uint64(b[32:]),
	}
	if e.typ != recTomb && !e.counts() || e.len < recHeaderSize || e.len > maxRecord || e.oldest > e.seg {
		return entry{}, fmt.Errorf("%w: index value", errFormat)
	}
	return e, nil
}

// footEntry is one record of a segment.
type footEntry struct {
	hash Hash
	entry
}

// put writes the footer form of f into b[:footEntrySize].
func (f footEntry) put(b []byte) {
	le := binary.LittleEndian
	copy(b[:16], f.hash[:])
	le.PutUint32(b[16:], f.off8)
	le.PutUint32(b[20:], f.len)
	le.PutUint32(b[24:], f.crc)
	le.PutUint32(b[28:], f.expires)
	le.PutUint32(b[32:], f.oldest)
	le.PutUint32(b[36:], uint32(f.typ)|uint32(f.class)<<8)
	le.PutUint64(b[40:], f.disk)
}

// records is the record list of one segment in footer form, indexed by ordinal.
type records struct {
	seg uint32
	raw []byte
}

func (r records) count() int { return len(r.raw) / footEntrySize }

// at returns the record with ordinal i; its type is recVoid when it was never written or does not make sense.
func (r records) at(i int) footEntry {
	b := r.raw[i*footEntrySize:]
	le := binary.LittleEndian
	var f footEntry
	copy(f.hash[:], b[:16])
	f.entry = entry{
		typ: recType(b[36]), class: b[37], seg: r.seg, off8: le.Uint32(b[16:]), len: le.Uint32(b[20:]), crc: le.Uint32(b[24:]),
		ord: uint32(i), expires: le.Uint32(b[28:]), oldest: le.Uint32(b[32:]), disk: le.Uint64(b[40:]),
	}
	if f.typ > recTomb || f.len < recHeaderSize || f.len > maxRecord || f.oldest > r.seg || f.off() < segHeaderSize {
		f.typ = recVoid
	}
	return f
}

// decodeFooter checks the footer bytes that a trailer describes.
func decodeFooter(b []byte, t trailer) (records, error) {
	if len(b) != int(t.count)*footEntrySize || crc32.Checksum(b, castagnoli) != t.footCRC {
		return records{}, fmt.Errorf("%w: footer checksum", errFormat)
	}
	return records{seg: t.num, raw: b}, nil
}

// unixSeconds clamps t into what an index entry can hold.
func unixSeconds(ms int64) uint32 {
	return uint32(min(max(ms/1000, 0), math.MaxUint32))
}

func unixMillis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}
