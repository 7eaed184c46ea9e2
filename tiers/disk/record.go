package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// Hash identifies a key: SHA-256 of the key text cut to 128 bits. The store does not compute it.
type Hash = [16]byte

const (
	recMagic      = "WREC"
	recHeaderSize = 88
	recAlign      = 8
	// maxRecord bounds what one record read from disk may make us allocate.
	maxRecord = 512 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errFormat is wrapped by every decoder error.
var errFormat = errors.New("bad format")

type recType uint8

const (
	recVoid recType = iota
	recObject
	recHead
	recChunk
	recTomb
)

func (t recType) String() string {
	switch t {
	case recVoid:
		return "void"
	case recObject:
		return "object"
	case recHead:
		return "head"
	case recChunk:
		return "chunk"
	case recTomb:
		return "tombstone"
	}
	return "unknown"
}

// recHeader is the fixed part of a record; see the drawing in doc.go.
type recHeader struct {
	typ                     recType
	class                   uint8
	hash                    Hash
	keyLen, metaLen, bodyLn uint32
	kmCRC, bodyCRC          uint32
	ord                     uint32
	expires, stored         int64 // unix ms
	size                    uint64
	crc                     uint32 // filled by encode and decode
}

// length is the bytes of the record without padding.
func (h *recHeader) length() int64 {
	return recHeaderSize + int64(h.keyLen) + int64(h.metaLen) + int64(h.bodyLn)
}

func align(n int64) int64 { return (n + recAlign - 1) &^ (recAlign - 1) }

// place names where a header stands; it is part of its checksum.
type place struct {
	salt uint64
	seg  uint32
	off  int64
}

func (p place) checksum(header []byte) uint32 {
	var b [12]byte
	binary.LittleEndian.PutUint32(b[0:], p.seg)
	binary.LittleEndian.PutUint64(b[4:], uint64(p.off))
	return crc32.Update(crc32.Checksum(b[:], castagnoli), castagnoli, header)
}

// encode writes the header into b[:recHeaderSize] and sets h.crc.
func (h *recHeader) encode(b []byte, p place) {
	_ = b[recHeaderSize-1]
	le := binary.LittleEndian
	copy(b, recMagic)
	b[4], b[5] = byte(h.typ), h.class
	le.PutUint16(b[6:], recHeaderSize)
	le.PutUint64(b[8:], p.salt)
	copy(b[16:32], h.hash[:])
	le.PutUint32(b[32:], h.keyLen)
	le.PutUint32(b[36:], h.metaLen)
	le.PutUint32(b[40:], h.bodyLn)
	le.PutUint32(b[44:], h.kmCRC)
	le.PutUint32(b[48:], h.bodyCRC)
	le.PutUint32(b[52:], h.ord)
	le.PutUint64(b[56:], uint64(h.expires))
	le.PutUint64(b[64:], uint64(h.stored))
	le.PutUint64(b[72:], h.size)
	le.PutUint32(b[80:], 0)
	h.crc = p.checksum(b[:84])
	le.PutUint32(b[84:], h.crc)
}

// looksLikeRecord is the cheap test used while searching for the next record.
func looksLikeRecord(b []byte, salt uint64) bool {
	return len(b) >= recHeaderSize && string(b[:4]) == recMagic && binary.LittleEndian.Uint64(b[8:]) == salt
}

// decodeHeader reads a header that stands at p. limit is the number of bytes there are from p to the end of what may
// hold records; a record that claims more is refused.
func decodeHeader(b []byte, p place, limit int64) (recHeader, error) {
	var h recHeader
	if !looksLikeRecord(b, p.salt) {
		return h, fmt.Errorf("%w: no record at %d", errFormat, p.off)
	}
	le := binary.LittleEndian
	h.crc = le.Uint32(b[84:])
	if p.checksum(b[:84]) != h.crc {
		return h, fmt.Errorf("%w: header checksum at %d", errFormat, p.off)
	}
	h.typ, h.class = recType(b[4]), b[5]
	if h.typ == recVoid || h.typ > recTomb || le.Uint16(b[6:]) != recHeaderSize {
		return h, fmt.Errorf("%w: type %d at %d", errFormat, b[4], p.off)
	}
	copy(h.hash[:], b[16:32])
	h.keyLen, h.metaLen, h.bodyLn = le.Uint32(b[32:]), le.Uint32(b[36:]), le.Uint32(b[40:])
	h.kmCRC, h.bodyCRC, h.ord = le.Uint32(b[44:]), le.Uint32(b[48:]), le.Uint32(b[52:])
	h.expires, h.stored = int64(le.Uint64(b[56:])), int64(le.Uint64(b[64:]))
	h.size = le.Uint64(b[72:])
	if h.keyLen > MaxKeyLen || h.metaLen > MaxMetaLen || h.length() > min(limit, maxRecord) {
		return h, fmt.Errorf("%w: lengths at %d", errFormat, p.off)
	}
	return h, nil
}

// payload is the variable part of a record, split and checked. The slices share b.
type payload struct{ key, meta, body []byte }

// splitPayload checks b (everything after the header) against h.
func splitPayload(h *recHeader, b []byte) (payload, error) {
	if int64(len(b)) < h.length()-recHeaderSize {
		return payload{}, fmt.Errorf("%w: record is cut", errFormat)
	}
	km := int(h.keyLen) + int(h.metaLen)
	end := km + int(h.bodyLn)
	if crc32.Checksum(b[:km], castagnoli) != h.kmCRC {
		return payload{}, fmt.Errorf("%w: metadata checksum", errFormat)
	}
	if crc32.Checksum(b[km:end], castagnoli) != h.bodyCRC {
		return payload{}, fmt.Errorf("%w: body checksum", errFormat)
	}
	return payload{key: b[:h.keyLen:h.keyLen], meta: b[h.keyLen:km:km], body: b[km:end:end]}, nil
}

const extentSize = 24

// extent is a run of body bytes in a segment file.
type extent struct {
	seg, crc uint32
	off      int64
	len      uint32
}

func appendExtents(b []byte, list []extent) []byte {
	le := binary.LittleEndian
	for _, e := range list {
		b = le.AppendUint32(b, e.seg)
		b = le.AppendUint32(b, e.crc)
		b = le.AppendUint64(b, uint64(e.off))
		b = le.AppendUint32(b, e.len)
		b = le.AppendUint32(b, 0)
	}
	return b
}

// decodeExtents reads the body of a head record of an object of the given size. It accepts only what the writer can
// have written: extents of one length, a last one that is no longer, and a sum that is the size.
func decodeExtents(b []byte, size uint64) ([]extent, error) {
	if len(b)%extentSize != 0 || size > 1<<62 {
		return nil, fmt.Errorf("%w: extent list of %d bytes", errFormat, len(b))
	}
	list := make([]extent, len(b)/extentSize)
	le := binary.LittleEndian
	var sum uint64
	for i := range list {
		p := b[i*extentSize:]
		e := extent{seg: le.Uint32(p), crc: le.Uint32(p[4:]), off: int64(le.Uint64(p[8:])), len: le.Uint32(p[16:])}
		last := i == len(list)-1
		if e.off < segHeaderSize || e.off > maxFile || e.len == 0 || e.len > list[0].len && i > 0 || e.len != list[0].len && i > 0 && !last || e.len > maxRecord {
			return nil, fmt.Errorf("%w: extent %d", errFormat, i)
		}
		list[i] = e
		sum += uint64(e.len)
	}
	if sum != size {
		return nil, fmt.Errorf("%w: extents hold %d bytes, the object has %d", errFormat, sum, size)
	}
	return list, nil
}
