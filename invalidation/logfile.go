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
// error nothing of b counts, and the log must be replaced before anything else
// is written.
func (l *logFile) append(b []byte, purges []Purge, offsets []int64) error {
	if err := l.write(l.f, b); err != nil {
		// What was written in part must not be found behind what comes next,
		// and after a failed sync nobody knows what is on the device.
		l.broken = err
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

// replace makes a new log of the snapshot and of the purges that the present one
// has from off on: written beside it, synced and renamed.
func (l *logFile) replace(snapshot []byte, off int64) error {
	next := newLogFile(filepath.Dir(l.path), l.write)
	err := writeFileSync(l.path, func(w io.Writer) error {
		if _, err := w.Write(snapshot); err != nil {
			return err
		}
		next.size = int64(len(snapshot))
		next.base = next.size
		return l.copyPurges(w, off, next)
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

// copyPurges writes the records of purges from off on, and notes them in next.
func (l *logFile) copyPurges(w io.Writer, off int64, next *logFile) error {
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
		next.note(id.origin(), id.Number, next.size)
		record := appendRecord(nil, func(b []byte) []byte { return append(b, payload...) })
		next.size += int64(len(record))
		_, err := w.Write(record)
		return err
	})
	return err
}

// half is where the younger half of the purges begins, at a record.
func (l *logFile) half() int64 {
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
