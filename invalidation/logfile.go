package invalidation

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
)

// logFile is the log on the device: one goroutine appends and replaces, any
// number read purges from its middle.
type logFile struct {
	path  string
	write func(f *os.File, b []byte) error // in place of a synced write, in tests

	// mu keeps the file and the marks together while somebody reads; the
	// writer alone changes them.
	mu    sync.RWMutex
	f     *os.File
	size  int64
	base  int64 // where the snapshot in front ends
	marks map[Origin][]mark

	// broken, the writer's own: the file may hold what was not acknowledged.
	broken error
}

// mark is where a purge of an origin begins in the file. There is one for the
// first, and one for each that lies markEvery or more behind the last; so each
// purge lies within markEvery behind a mark, and a reader need not pass over what
// other origins wrote in between.
type mark struct {
	number uint64
	off    int64
}

const markEvery = 32 << 10

func newLogFile(dir string, write func(*os.File, []byte) error) *logFile {
	return &logFile{path: filepath.Join(dir, logName), write: write, marks: make(map[Origin][]mark)}
}

// note keeps the marks. The caller is alone, or holds mu.
func (l *logFile) note(o Origin, number uint64, off int64) {
	m := l.marks[o]
	if len(m) == 0 || off-m[len(m)-1].off >= markEvery {
		l.marks[o] = append(m, mark{number, off})
	}
}

// append writes and syncs b, the records of purges, which are noted. After an
// error nothing of b counts; where that cannot be made sure of, the log is broken
// and must be replaced before anything else is written.
func (l *logFile) append(b []byte, purges []Purge, offsets []int64) error {
	if l.broken != nil {
		return l.broken
	}
	if err := l.write(l.f, b); err != nil {
		// What was written in part must not be found behind what comes next,
		// and after a failed sync nobody knows what is on the device.
		if !isFull(err) || l.f.Truncate(l.size) != nil || l.f.Sync() != nil {
			l.broken = err
		}
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range purges {
		l.note(purges[i].ID.origin(), purges[i].ID.Number, l.size+offsets[i])
	}
	l.size += int64(len(b))
	return nil
}

// replace makes a new log of the snapshot, of the purges that the present one has
// from off on, and of more purges: written beside it, synced and renamed.
func (l *logFile) replace(snapshot []byte, off int64, more []Purge) error {
	next := newLogFile(filepath.Dir(l.path), l.write)
	if err := os.MkdirAll(filepath.Dir(l.path), 0o700); err != nil {
		return err
	}
	sync := func(f *os.File) error { return l.write(f, nil) }
	err := writeFileSync(l.path, sync, func(w io.Writer) error {
		if _, err := w.Write(snapshot); err != nil {
			return err
		}
		next.size = int64(len(snapshot))
		next.base = next.size
		// A write that was given up may have come to pass: what more has is written
		// once.
		first := make(Vector)
		for i := range more {
			if o := more[i].ID.origin(); first[o] == 0 {
				first[o] = more[i].ID.Number
			}
		}
		if err := l.copyPurges(w, off, next, first); err != nil {
			return err
		}
		for i := range more {
			record := more[i].append(nil)
			next.note(more[i].ID.origin(), more[i].ID.Number, next.size)
			next.size += int64(len(record))
			if _, err := w.Write(record); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	f, err := os.OpenFile(l.path, os.O_RDWR|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f != nil {
		_ = l.f.Close()
	}
	l.f, l.size, l.base, l.marks, l.broken = f, next.size, next.base, next.marks, nil
	return nil
}

// copyPurges writes the records of purges from off on, up to the number given for
// their origin, and notes them in next.
func (l *logFile) copyPurges(w io.Writer, off int64, next *logFile, before Vector) error {
	if l.f == nil || off >= l.size {
		return nil
	}
	_, err := scanLog(io.NewSectionReader(l.f, off, l.size-off), l.size-off, func(_ int64, payload []byte) error {
		if payload[0] != recPurge {
			return nil
		}
		r := Decoder{b: payload[1:]}
		_ = r.U64() // epoch
		id := r.purgeID()
		if r.bad {
			return errDamaged
		}
		if from := before[id.origin()]; from > 0 && id.Number >= from {
			return nil
		}
		next.note(id.origin(), id.Number, next.size)
		record := appendRecord(nil, func(b []byte) []byte { return append(b, payload...) })
		next.size += int64(len(record))
		_, err := w.Write(record)
		return err
	})
	return err
}

// keep is where the purges begin that a log may keep which grows by more bytes: the
// first, or, beyond most, those of the younger half. It is at a record.
func (l *logFile) keep(more int, most int64) int64 {
	if l.size-l.base+int64(more) <= most {
		return l.base
	}
	at, middle := l.size, l.base+(l.size-l.base)/2
	for _, marks := range l.marks {
		for _, m := range marks {
			if m.off >= middle {
				at = min(at, m.off)
				break
			}
		}
	}
	return at
}

// read returns purges of the origin behind number after, in order, until their
// records have maxBytes. lowest is the first that the log has, 0 for none.
func (l *logFile) read(o Origin, after uint64, maxBytes int) (list []Purge, lowest uint64, err error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	marks := l.marks[o]
	if len(marks) == 0 {
		return nil, 0, nil
	}
	lowest = marks[0].number
	at := 0
	for at+1 < len(marks) && marks[at+1].number <= after+1 {
		at++
	}
	bytes := 0
	for ; at < len(marks) && bytes < maxBytes; at++ {
		off := marks[at].off
		_, err := scanLog(io.NewSectionReader(l.f, off, l.size-off), l.size-off, func(rel int64, payload []byte) error {
			switch {
			case bytes >= maxBytes, rel >= markEvery:
				return io.EOF
			case payload[0] != recPurge:
				return nil
			}
			r := Decoder{b: payload[1:]}
			p := r.Purge()
			if r.bad {
				return errDamaged
			}
			if p.ID.origin() == o && p.ID.Number > after {
				list = append(list, p)
				after = p.ID.Number
				bytes += len(payload)
			}
			return nil
		})
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, lowest, fmt.Errorf("cannot read the log of purges: %w", err)
		}
	}
	return list, lowest, nil
}

func (l *logFile) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f == nil {
		return nil
	}
	err := l.f.Close()
	l.f = nil
	return err
}
