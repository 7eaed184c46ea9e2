package disk

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
)

// Class is a kind of objects, named by the caller. Each object belongs to one, for as long as it is stored.
type Class struct {
	Name string
	// Reserve in bytes is what the other classes cannot push out: as long as the class holds no more than that (stale
	// objects count until eviction comes to them), its fresh objects survive eviction. 0: nothing is reserved.
	Reserve int64
	// Pin keeps all of the class until it is stale: what would not fit into the room there is for that is not taken
	// (ErrPinnedFull). Without a Reserve the room is an equal share of what nobody has reserved.
	Pin bool
}

const (
	classesName = "CLASSES"
	maxClasses  = 256 // the number of a class is one byte; 0 is the class without a name
)

// classes maps names to numbers, for ever: the numbers stand in records. A number is never given to another name while
// the file lives; when the file is lost, classes are numbered anew, and until the old objects are gone some of them are
// kept or evicted as another class would be. No byte that is served depends on it.
type classes struct {
	mu    sync.Mutex // for changes
	table atomic.Pointer[classTable]
}

type classTable struct {
	names []string
	ids   map[string]uint8
	rules [maxClasses]classRule
	any   bool // some class keeps something
}

// classRule is what is guaranteed to a class: its fresh objects, up to limit bytes.
type classRule struct {
	limit int64
	pin   bool
}

// guaranteed is how much of the budget can be promised to classes in all. Eviction frees whole segments and writes
// again what is promised, so it needs something to free: three segments, and a twentieth of the rest.
func (o Options) guaranteed() int64 { return max((o.Size-3*o.SegmentSize)/20*19, 0) }

// name returns what the class of that number is called; "" for the unnamed and the forgotten.
func (t *classTable) name(id uint8) string {
	if int(id) < len(t.names) {
		return t.names[id]
	}
	return ""
}

// loadClasses reads the names that were given numbers before and takes in those of the options.
func (s *Store) loadClasses() error {
	t := &classTable{names: []string{""}}
	b, err := readFileLimited(filepath.Join(s.o.Dir, classesName), 1<<20)
	if err == nil {
		names, perr := parseClasses(b)
		if perr != nil {
			s.o.Log.Warn("disk: the names of the classes are lost, they are numbered anew", "err", perr)
		}
		t.names = append(t.names, names...)
	} else if !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("cannot read the names of the classes: %w", err)
	}
	s.classes.table.Store(t)
	return s.SetClasses(s.o.Classes)
}

func parseClasses(b []byte) ([]string, error) {
	if len(b) < 10 {
		return nil, fmt.Errorf("%w: %s is cut", errFormat, classesName)
	}
	body, tail := b[:len(b)-10], string(b[len(b)-10:])
	var names []string
	if tail != fmt.Sprintf("\n%08x\n", crc32.Checksum(body, castagnoli)) || json.Unmarshal(body, &names) != nil || len(names) >= maxClasses {
		return nil, fmt.Errorf("%w: %s", errFormat, classesName)
	}
	return names, nil
}

// SetClasses changes what is promised to whom. Classes that are not named any more keep their objects until eviction
// comes to them. The error is that the names of new classes could not be written; then nothing has changed.
func (s *Store) SetClasses(list []Class) error {
	s.classes.mu.Lock()
	defer s.classes.mu.Unlock()
	old := s.classes.table.Load()
	t := &classTable{names: append([]string(nil), old.names...), ids: make(map[string]uint8)}
	for i, name := range t.names {
		t.ids[name] = uint8(i)
	}
	for _, c := range list {
		if _, known := t.ids[c.Name]; !known && len(t.names) < maxClasses {
			t.ids[c.Name] = uint8(len(t.names))
			t.names = append(t.names, c.Name)
		}
	}
	if len(t.names) != len(old.names) && !s.readOnly {
		body, err := json.Marshal(t.names[1:])
		if err == nil {
			body = fmt.Appendf(body, "\n%08x\n", crc32.Checksum(body, castagnoli))
			err = writeFileSync(filepath.Join(s.o.Dir, classesName), body)
		}
		if err != nil {
			return fmt.Errorf("cannot write the names of the classes: %w", err)
		}
	}
	t.promise(list, s.o.guaranteed())
	s.classes.table.Store(t)
	return nil
}

// promise divides room among the classes: reservations first, in the order given, then the pinned ones without any
// share the rest.
func (t *classTable) promise(list []Class, room int64) {
	pins := int64(0)
	for _, c := range list {
		if c.Pin && c.Reserve <= 0 {
			pins++
			continue
		}
		n := min(max(c.Reserve, 0), room)
		room -= n
		t.rule(c, n)
	}
	for _, c := range list {
		if c.Pin && c.Reserve <= 0 {
			t.rule(c, room/pins)
		}
	}
}

func (t *classTable) rule(c Class, limit int64) {
	// Beyond 255 names a class goes without; what it stores is as if it had no name.
	if id := t.ids[c.Name]; id != 0 && (limit > 0 || c.Pin) {
		t.rules[id] = classRule{limit: limit, pin: c.Pin}
		t.any = true
	}
}

// Shelf is the store as it takes objects of one class. The zero Shelf is of no use.
type Shelf struct {
	s     *Store
	class uint8
}

// In returns where objects of the class go. A name that SetClasses was not told is the class without a name.
func (s *Store) In(class string) Shelf { return Shelf{s: s, class: s.classes.table.Load().ids[class]} }

// admit refuses n bytes for a pinned class that has no more room. old, if ok, is what they replace.
func (s *Store) admit(ix *index, class uint8, n int64, old entry, ok bool) error {
	rule := &s.classes.table.Load().rules[class]
	if !rule.pin {
		return nil
	}
	have := ix.class[class].live.Load()
	if ok && old.counts() && old.class == class {
		have -= int64(old.disk)
	}
	if have+n > rule.limit {
		s.count.pinRefused.Add(1)
		return ErrPinnedFull
	}
	return nil
}

// ClassUsage is what a class holds and is promised, in bytes.
type ClassUsage struct {
	Class         string
	Objects, Live int64
	Guaranteed    int64
	Pin           bool
}

// Usage returns the classes that hold something or are promised something, the class without a name first. While
// Stats says Counting the numbers grow towards the truth.
func (s *Store) Usage() []ClassUsage {
	ix := s.idx.Load()
	if ix == nil {
		return nil
	}
	t := s.classes.table.Load()
	var list []ClassUsage
	for i := range ix.class {
		c, rule := &ix.class[i], t.rules[i]
		u := ClassUsage{Class: t.name(uint8(i)), Objects: c.objects.Load(), Live: c.live.Load(), Guaranteed: rule.limit, Pin: rule.pin}
		if u.Objects != 0 || rule != (classRule{}) {
			list = append(list, u)
		}
	}
	return list
}

// tally counts the objects of one class in the index, and their bytes on disk.
type tally struct{ objects, live atomic.Int64 }

func (t *tally) add(objects, live int64) {
	t.objects.Add(objects)
	t.live.Add(live)
}
