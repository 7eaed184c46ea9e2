package invalidation

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
)

func writeSynced(f *os.File, b []byte) error {
	if _, err := f.Write(b); err != nil {
		return err
	}
	return f.Sync()
}

// openLog reads the log that is there and goes on with it, or begins one. When it
// fails and there is a file, the log was read, or is to be begun, and cannot be
// written. The mark is for whoever attaches the log.
func (n *Node) openLog() error {
	file := newLogFile(n.o.Dir, n.o.write)
	f, err := openToWrite(file.path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		if _, err := n.readMark(); n.o.Mark != "" && err == nil {
			n.forget(errors.New("it is gone"))
		}
		return n.begin()
	case f == nil:
		return err
	}
	cause := err // it can be read only
	file.f, n.file = f, file
	end, err := n.load(f)
	switch {
	case err != nil && !errors.Is(err, errUnusable):
		_ = file.close()
		n.file = nil
		return err
	case err == nil && !n.markFits():
		err = errors.New("it and what is stored were not written together")
	}
	if err != nil {
		n.forget(err)
		_ = file.close()
		return n.begin()
	}
	n.begun = false
	file.size = end
	if len(file.marks) == 0 {
		file.base = end
	}
	if cause == nil {
		cause = n.resume()
	}
	if cause != nil {
		file.broken = cause
	}
	return cause
}

// openToWrite opens the log. Where that can only be read, it returns both the file
// and the error.
func openToWrite(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND, 0)
	if err == nil || errors.Is(err, os.ErrNotExist) {
		return f, err
	}
	if f, rerr := os.Open(path); rerr == nil {
		return f, err
	}
	return nil, err
}

// begin writes a new log.
func (n *Node) begin() error {
	_, _ = rand.Read(n.sessions[1][:])
	n.file = newLogFile(n.o.Dir, n.o.write)
	err := n.file.replace(n.snapshot(nil, n.incarnation.Load(), n.state()), 0, nil)
	if err != nil {
		n.file.broken = err
	}
	return err
}

// resume goes on with a log that is whole up to its size.
func (n *Node) resume() error {
	st, err := n.file.f.Stat()
	if err != nil {
		return err
	}
	n.sessions[0] = n.sessions[1]
	_, _ = rand.Read(n.sessions[1][:])
	b := appendSession(nil, n.sessions[1])
	if st.Size() > n.file.size {
		// Whatever was being written was not acknowledged. Should it have been
		// after all, a fetch may have seen its epoch: none of the next may be
		// below that.
		n.table.epoch.Add(1 << 32)
		b = n.state().append(b)
		if err := n.file.f.Truncate(n.file.size); err != nil {
			return err
		}
	}
	return n.file.append(b, nil, nil)
}

// writeMark writes the session beside what the facts concern, after the log has
// it.
func (n *Node) writeMark() error {
	if n.o.Mark == "" {
		return nil
	}
	return WriteFile(n.o.Mark, n.sessions[1][:])
}

// forget starts anew after a log that cannot be used.
func (n *Node) forget(cause error) {
	n.o.Log.Warn("the log of purges cannot be used; whatever was stored before is invalid", "dir", n.o.Dir, "error", cause)
	n.reset()
}

// markFits tells whether the mark is of this log's last session, or of the one
// before: the process may have died between the two writes.
func (n *Node) markFits() bool {
	if n.o.Mark == "" {
		return true
	}
	b, err := n.readMark()
	return err == nil && len(b) == 16 && (string(b) == string(n.sessions[0][:]) || string(b) == string(n.sessions[1][:]))
}

// readMark returns what the mark says, or said when this process removed it.
func (n *Node) readMark() ([]byte, error) {
	if b := n.away.mark.Load(); b != nil {
		return *b, nil
	}
	return os.ReadFile(n.o.Mark)
}

// load reads the log into n's table, positions and recent purges, and says where
// its last whole record ends.
func (n *Node) load(f *os.File) (end int64, err error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	first := true
	end, err = scanLog(io.NewSectionReader(f, 0, st.Size()), st.Size(), func(at int64, payload []byte) error {
		r := Decoder{b: payload}
		typ := r.U8()
		if first != (typ == recHeader) {
			return fmt.Errorf("%w: a header in the wrong place", errDamaged)
		}
		first = false
		if err := n.loadRecord(typ, &r, at); err != nil {
			return err
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

func (n *Node) loadRecord(typ byte, r *Decoder, at int64) error {
	switch typ {
	case recHeader:
		if v := r.U8(); v != logVersion {
			return fmt.Errorf("%w: it has version %d, and this release reads version %d", errOther, v, logVersion)
		}
		n.incarnation.Store(r.U64())
	case recSession:
		n.sessions[0] = n.sessions[1]
		copy(n.sessions[1][:], r.take(16))
	case recPurge:
		p := r.Purge()
		if r.newer {
			return fmt.Errorf("%w: it holds purges of a kind that this release does not know", errOther)
		}
		if !r.bad {
			n.take(p)
			if n.file != nil {
				if len(n.file.marks) == 0 {
					n.file.base = at
				}
				n.file.note(p.ID.origin(), p.ID.Number, at)
			}
		}
	case recSnapshot:
		n.table.epoch.Store(max(n.table.epoch.Load(), r.U64()))
		n.table.floor.Store(max(n.table.floor.Load(), r.U64()))
		all := *n.table.all.Load()
		all.add(cell{hard: r.U64(), soft: r.U64(), softAt: int64(r.U64())})
		n.table.all.Store(&all)
	case recCells:
		for len(r.b) > 0 && !r.bad {
			n.table.put(r.U64(), cell{hard: r.U64(), soft: r.U64(), softAt: int64(r.U64())})
		}
	case recPrefixes:
		fm := form(r.U8())
		for len(r.b) > 0 && !r.bad && fm < forms {
			n.table.admitLength(fm, int(r.U16()))
		}
	case recPosition:
		o := Origin{Node: r.Text(int(r.U8())), Incarnation: r.U64()}
		n.positions[o] = max(n.positions[o], r.U64())
	default:
		return fmt.Errorf("%w: it holds records of type %d, which this release does not know", errOther, typ)
	}
	return nil
}

// state is what the log says of the table now.
func (n *Node) state() state {
	t := &n.table
	return state{epoch: t.epoch.Load(), floor: t.floor.Load(), all: *t.all.Load()}
}

// replaceLog rewrites the log as a snapshot, the purges that it has from off on, and
// more purges.
func (n *Node) replaceLog(off int64, more []Purge) error {
	file, snapshot := n.file, n.snapshot(nil, n.incarnation.Load(), n.state())
	return n.device.do(func() error { return file.replace(snapshot, off, more) })
}
