package invalidation

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

const (
	logName    = "log"
	logVersion = 2

	recHeader byte = iota - 1
	recSession
	recPurge
	recSnapshot
	recCells
	recPrefixes
	recPosition
)

const (
	recordHeader = 12
	maxRecord    = MaxFacts*(MaxScope+4) + 1<<10
	cellsEach    = 4096
	maxNodeName  = 255
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errUnusable: the log cannot be gone on with.
var errUnusable = errors.New("the log of purges cannot be used")

var (
	// errDamaged: the log holds what was never written there.
	errDamaged = fmt.Errorf("%w: it is damaged", errUnusable)
	// errOther: another release has written it.
	errOther = fmt.Errorf("%w: another release of weir has written it", errUnusable)
)

// appendRecord frames a payload that build appends.
func appendRecord(b []byte, build func([]byte) []byte) []byte {
	at := len(b)
	b = build(append(b, make([]byte, recordHeader)...))
	payload := b[at+recordHeader:]
	binary.LittleEndian.PutUint32(b[at:], uint32(len(payload)))
	binary.LittleEndian.PutUint32(b[at+4:], crc32.Checksum(payload, castagnoli))
	binary.LittleEndian.PutUint32(b[at+8:], crc32.Checksum(b[at:at+8], castagnoli))
	return b
}

func appendString8(b []byte, s string) []byte {
	return append(append(b, byte(len(s))), s...)
}

// Size is about what the purge takes in a log or a message, in bytes.
func (p *Purge) Size() int {
	n := 64
	for i := range p.Facts {
		n += 4 + len(p.Facts[i].Scope)
	}
	return n
}

func (p *Purge) append(b []byte) []byte {
	return appendRecord(b, func(b []byte) []byte { return p.Append(append(b, recPurge)) })
}

// Append appends the purge's wire form, which is that of the log.
func (p *Purge) Append(b []byte) []byte {
	le := binary.LittleEndian
	b = le.AppendUint64(b, p.Epoch)
	b = appendString8(b, p.ID.Node)
	b = le.AppendUint64(b, p.ID.Incarnation)
	b = le.AppendUint64(b, p.ID.Number)
	b = le.AppendUint64(b, uint64(p.At))
	b = le.AppendUint16(b, uint16(len(p.Facts)))
	for _, f := range p.Facts {
		soft := byte(0)
		if f.Soft {
			soft = 1
		}
		b = append(b, byte(f.Kind), soft)
		b = le.AppendUint16(b, uint16(len(f.Scope)))
		b = append(b, f.Scope...)
	}
	return b
}

// scanLog calls fn for each record's payload. It returns where the last whole
// record ends; err wraps errDamaged when something else than an end follows.
func scanLog(f io.Reader, size int64, fn func(at int64, payload []byte) error) (end int64, err error) {
	br := bufio.NewReaderSize(f, int(min(max(size, 16), 128<<10)))
	var head [recordHeader]byte
	var payload []byte
	for {
		if _, err := io.ReadFull(br, head[:]); err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return end, nil
			}
			return end, err
		}
		n := int(binary.LittleEndian.Uint32(head[:]))
		if n == 0 || n > maxRecord || crc32.Checksum(head[:8], castagnoli) != binary.LittleEndian.Uint32(head[8:]) {
			return end, fmt.Errorf("%w at %d: no record", errDamaged, end)
		}
		if end+recordHeader+int64(n) > size {
			return end, nil
		}
		if _, err := io.ReadFull(br, grown(&payload, n)); err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return end, nil
			}
			return end, err
		}
		if crc32.Checksum(payload, castagnoli) != binary.LittleEndian.Uint32(head[4:]) {
			return end, fmt.Errorf("%w at %d: checksum", errDamaged, end)
		}
		if err := fn(end, payload); err != nil {
			return end, fmt.Errorf("at %d: %w", end, err)
		}
		end += recordHeader + int64(n)
	}
}

func grown(b *[]byte, n int) []byte {
	if cap(*b) < n {
		*b = make([]byte, n)
	}
	*b = (*b)[:n]
	return *b
}

// snapshot appends records from which load restores everything but the purges
// themselves, with the incarnation and the state given.
func (n *Node) snapshot(b []byte, incarnation uint64, s state) []byte {
	b = appendRecord(b, func(b []byte) []byte {
		return binary.LittleEndian.AppendUint64(append(b, recHeader, logVersion), incarnation)
	})
	for _, nonce := range n.sessions {
		b = appendSession(b, nonce)
	}
	b = s.append(b)
	b = n.table.appendCells(b)
	b = n.table.appendPrefixes(b)
	return n.positions.appendRecords(b)
}

func appendSession(b []byte, nonce [16]byte) []byte {
	return appendRecord(b, func(b []byte) []byte { return append(append(b, recSession), nonce[:]...) })
}

// state is what a log says of the table as a whole.
type state struct {
	epoch, floor uint64
	all          cell
}

func (s state) append(b []byte) []byte {
	return appendRecord(b, func(b []byte) []byte {
		b = append(b, recSnapshot)
		for _, v := range []uint64{s.epoch, s.floor, s.all.hard, s.all.soft, uint64(s.all.softAt)} {
			b = binary.LittleEndian.AppendUint64(b, v)
		}
		return b
	})
}

func (t *table) appendCells(b []byte) []byte {
	var pending []byte
	flush := func() {
		if len(pending) > 0 {
			b = appendRecord(b, func(b []byte) []byte { return append(append(b, recCells), pending...) })
			pending = pending[:0]
		}
	}
	for i := range t.shards {
		for h, c := range t.shards[i].cells {
			for _, v := range []uint64{h, c.hard, c.soft, uint64(c.softAt)} {
				pending = binary.LittleEndian.AppendUint64(pending, v)
			}
			if len(pending) == 32*cellsEach {
				flush()
			}
		}
	}
	flush()
	return b
}

func (t *table) appendPrefixes(b []byte) []byte {
	for fm := range t.prefixes {
		b = appendRecord(b, func(b []byte) []byte {
			b = append(b, recPrefixes, byte(fm))
			for _, n := range *t.prefixes[fm].Load() {
				b = binary.LittleEndian.AppendUint16(b, uint16(n))
			}
			return b
		})
	}
	return b
}

// appendRecords appends a position record for each origin.
func (v Vector) appendRecords(b []byte) []byte {
	for o, highest := range v {
		b = appendRecord(b, func(b []byte) []byte {
			b = appendString8(append(b, recPosition), o.Node)
			b = binary.LittleEndian.AppendUint64(b, o.Incarnation)
			return binary.LittleEndian.AppendUint64(b, highest)
		})
	}
	return b
}
