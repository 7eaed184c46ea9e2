package invalidation

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
)

const (
	logName    = "log"
	logVersion = 1

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

// errDamaged: the log holds what was never written there.
var errDamaged = errors.New("the log of purges is damaged")

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

func (p *Purge) append(b []byte) []byte {
	le := binary.LittleEndian
	return appendRecord(b, func(b []byte) []byte {
		b = append(b, recPurge)
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
	})
}

// reader takes a payload apart; after its end everything is zero and bad is set.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if n < 0 || len(r.b) < n {
		r.bad, r.b = true, nil
		return make([]byte, min(max(n, 0), 16))
	}
	p := r.b[:n]
	r.b = r.b[n:]
	return p
}

func (r *reader) u8() byte    { return r.take(1)[0] }
func (r *reader) u16() uint16 { return binary.LittleEndian.Uint16(r.take(2)) }
func (r *reader) u64() uint64 { return binary.LittleEndian.Uint64(r.take(8)) }

func (r *reader) text(n int) string {
	if len(r.b) < n {
		r.bad, r.b = true, nil
		return ""
	}
	return string(r.take(n))
}

func (r *reader) purge() (p Purge) {
	p.Epoch = r.u64()
	p.ID = ID{Node: r.text(int(r.u8())), Incarnation: r.u64(), Number: r.u64()}
	p.At = int64(r.u64())
	n := int(r.u16())
	if n > MaxFacts {
		r.bad = true
		return p
	}
	for range n {
		f := Fact{Kind: Kind(r.u8()), Soft: r.u8() == 1}
		f.Scope = r.text(int(r.u16()))
		if r.bad || f.Validate() != nil {
			r.bad = true
			return p
		}
		p.Facts = append(p.Facts, f)
	}
	return p
}

// scanLog calls fn for each record's payload. It returns where the last whole
// record ends; err wraps errDamaged when something else than an end follows.
func scanLog(f io.Reader, size int64, fn func(payload []byte) error) (end int64, err error) {
	br := bufio.NewReaderSize(f, 1<<20)
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
		if err := fn(payload); err != nil {
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

// load reads the log into n's table, positions and recent purges.
func (n *Node) load(f *os.File) (end int64, err error) {
	first := true
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	end, err = scanLog(f, st.Size(), func(payload []byte) error {
		r := reader{b: payload}
		typ := r.u8()
		if first != (typ == recHeader) {
			return fmt.Errorf("%w: a header in the wrong place", errDamaged)
		}
		first = false
		switch typ {
		case recHeader:
			if v := r.u8(); v != logVersion {
				return fmt.Errorf("%w: version %d is unknown", errDamaged, v)
			}
			n.incarnation = r.u64()
		case recSession:
			n.sessions[0] = n.sessions[1]
			copy(n.sessions[1][:], r.take(16))
		case recPurge:
			p := r.purge()
			if !r.bad {
				n.take(p)
			}
		case recSnapshot:
			n.table.epoch.Store(r.u64())
			n.table.floor.Store(r.u64())
			n.table.all.Store(&cell{hard: r.u64(), soft: r.u64(), softAt: int64(r.u64())})
		case recCells:
			for len(r.b) > 0 && !r.bad {
				n.table.put(r.u64(), cell{hard: r.u64(), soft: r.u64(), softAt: int64(r.u64())})
			}
		case recPrefixes:
			fm := form(r.u8())
			for len(r.b) > 0 && !r.bad && fm < forms {
				n.table.admitLength(fm, int(r.u16()))
			}
		case recPosition:
			o := Origin{Node: r.text(int(r.u8())), Incarnation: r.u64()}
			n.positions[o] = &position{highest: r.u64(), lowest: r.u64()}
		default:
			return fmt.Errorf("%w: record type %d is unknown", errDamaged, typ)
		}
		if r.bad {
			return fmt.Errorf("%w: record of type %d", errDamaged, typ)
		}
		return nil
	})
	if err == nil && first {
		err = fmt.Errorf("%w: it has no header", errDamaged)
	}
	return end, err
}

// snapshot appends records from which load restores everything but the purges
// themselves.
func (n *Node) snapshot(b []byte) []byte {
	le := binary.LittleEndian
	t := &n.table
	b = appendRecord(b, func(b []byte) []byte {
		b = append(b, recHeader, logVersion)
		return le.AppendUint64(b, n.incarnation)
	})
	for _, nonce := range n.sessions {
		b = appendRecord(b, func(b []byte) []byte { return append(append(b, recSession), nonce[:]...) })
	}
	b = appendRecord(b, func(b []byte) []byte {
		b = append(b, recSnapshot)
		all := t.all.Load()
		for _, v := range []uint64{t.epoch.Load(), t.floor.Load(), all.hard, all.soft, uint64(all.softAt)} {
			b = le.AppendUint64(b, v)
		}
		return b
	})
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
				pending = le.AppendUint64(pending, v)
			}
			if len(pending) == 32*cellsEach {
				flush()
			}
		}
	}
	flush()
	for fm := range t.prefixes {
		b = appendRecord(b, func(b []byte) []byte {
			b = append(b, recPrefixes, byte(fm))
			for _, n := range *t.prefixes[fm].Load() {
				b = le.AppendUint16(b, uint16(n))
			}
			return b
		})
	}
	for o, p := range n.positions {
		b = appendRecord(b, func(b []byte) []byte {
			b = appendString8(append(b, recPosition), o.Node)
			return le.AppendUint64(le.AppendUint64(le.AppendUint64(b, o.Incarnation), p.highest), p.lowest)
		})
	}
	return b
}

// writeFileSync replaces path with b: written beside it, synced, renamed, and
// the directory synced.
func writeFileSync(path string, b []byte) error {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		_ = os.Remove(tmp)
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	return errors.Join(err, d.Close())
}
