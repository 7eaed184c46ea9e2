package disk

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func init() {
	// A quarter of rapid's own default, which stands back for -rapid.checks: each check opens several stores.
	if err := flag.Set("rapid.checks", "25"); err != nil {
		panic("BUG: " + err.Error())
	}
}

// TestModel runs random operations against the store and a map. A miss is always allowed once something was evicted;
// a hit must be exactly what was put last.
func TestModel(t *testing.T) {
	base := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(base, "m")
		if err != nil {
			rt.Fatal(err)
		}
		defer os.RemoveAll(dir)
		o := smallOptions(dir)
		o.Size, o.SegmentSize, o.ChunkSize = MinSize, minSegment, 16<<10
		m := &model{o: o, want: map[int]object{}, places: map[int]placedObject{}}
		if m.s, err = Open(o); err != nil {
			rt.Fatal(err)
		}
		defer func() { _ = m.s.Close() }()
		rt.Repeat(map[string]func(*rapid.T){
			"put": m.put, "write": m.write, "get": m.get, "delete": m.del, "update": m.update, "update at a place": m.updateAt,
			"fill": m.fill, "reopen": m.reopen, "lose index": m.loseIndex, "": m.check,
		})
	})
}

type object struct {
	meta, body []byte
	expires    int64
}

type model struct {
	o       Options
	s       *Store
	want    map[int]object
	version int
	filler  int
	// places are where objects once were, and what they had for a body.
	places map[int]placedObject
}

type placedObject struct {
	place *Place
	body  []byte
}

func (m *model) key(rt *rapid.T) int { return rapid.IntRange(0, 12).Draw(rt, "key") }

func (m *model) draw(rt *rapid.T) (int, object) {
	m.version++
	i := m.key(rt)
	n := rapid.SampledFrom([]int{0, 1, 900, 16 << 10, 16<<10 + 1, 100_000}).Draw(rt, "size")
	exp := rapid.Int64Range(0, 1<<33).Draw(rt, "expires")
	return i, object{meta: metaOf(i, m.version, n), body: bodyOf(i, m.version, n), expires: exp}
}

func (m *model) put(rt *rapid.T) {
	i, ob := m.draw(rt)
	h, k := keyOf(i)
	p, err := m.s.In("").Put(h, k, ob.meta, ob.body, time.Unix(ob.expires, 0))
	m.done(rt, i, ob, err)
	if p != nil && rapid.Bool().Draw(rt, "remember") {
		m.places[i] = placedObject{p, ob.body}
	}
}

func (m *model) done(rt *rapid.T, i int, ob object, err error) {
	switch {
	case err == nil:
		m.want[i] = ob
	case !errors.Is(err, ErrFull) && !errors.Is(err, ErrEvicted):
		rt.Fatalf("put %d: %v", i, err)
	}
}

func (m *model) write(rt *rapid.T) {
	i, ob := m.draw(rt)
	h, k := keyOf(i)
	w, err := m.s.NewWriter(h, k)
	if err != nil {
		rt.Fatal(err)
	}
	half := len(ob.body) / 2
	err = w.Append(ob.body[:half])
	if err == nil {
		err = w.Append(ob.body[half:])
	}
	if err != nil || rapid.Bool().Draw(rt, "abort") {
		w.Abort()
		return
	}
	m.done(rt, i, ob, w.Commit(ob.meta, time.Unix(ob.expires, 0)))
}

func (m *model) get(rt *rapid.T) { m.compare(rt, m.key(rt)) }

func (m *model) compare(rt *rapid.T, i int) {
	h, k := keyOf(i)
	rebuilding := m.s.rebuilding()
	e, err := m.s.Get(h, k)
	want, ok := m.want[i]
	switch {
	case err == ErrNotFound:
		if ok && m.s.segs.floor.Load() <= 1 && !rebuilding {
			rt.Fatalf("object %d is lost", i)
		}
		return
	case err != nil:
		rt.Fatalf("get %d: %v", i, err)
	case !ok:
		rt.Fatalf("object %d was deleted", i)
	}
	defer e.Close()
	b := make([]byte, e.Size)
	if _, err := e.ReadAt(b, 0); err != nil {
		rt.Fatalf("read %d: %v", i, err)
	}
	if !bytes.Equal(b, want.body) || !bytes.Equal(e.Meta, want.meta) || e.Expires.Unix() != want.expires {
		rt.Fatalf("object %d: not what was put last: meta %q, want %q", i, e.Meta, want.meta)
	}
}

func (m *model) del(rt *rapid.T) {
	i := m.key(rt)
	h, _ := keyOf(i)
	if err := m.s.Delete(h); err != nil && !errors.Is(err, ErrFull) {
		rt.Fatal(err)
	}
	delete(m.want, i)
}

func (m *model) update(rt *rapid.T) {
	i := m.key(rt)
	h, k := keyOf(i)
	m.version++
	meta := metaOf(i, m.version, -1)
	exp := rapid.Int64Range(0, 1<<33).Draw(rt, "expires")
	_, err := m.s.UpdateMeta(h, k, meta, time.Unix(exp, 0))
	switch {
	case err == nil:
		ob, ok := m.want[i]
		if !ok {
			rt.Fatalf("update of object %d, which is not there, succeeded", i)
		}
		m.want[i] = object{meta: meta, body: ob.body, expires: exp}
	case !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrFull) && !errors.Is(err, ErrEvicted):
		rt.Fatal(err)
	}
}

// updateAt is update at a place that may be an old one: then nothing may happen.
func (m *model) updateAt(rt *rapid.T) {
	i := m.key(rt)
	was := m.places[i]
	if was.place == nil {
		return
	}
	_, k := keyOf(i)
	m.version++
	meta := metaOf(i, m.version, -1)
	exp := rapid.Int64Range(0, 1<<33).Draw(rt, "expires")
	p, err := m.s.UpdateMetaAt(was.place, k, meta, time.Unix(exp, 0))
	switch {
	case err == nil:
		if ob, ok := m.want[i]; !ok || !bytes.Equal(ob.body, was.body) {
			rt.Fatalf("update of object %d at a place where something else was, succeeded", i)
		}
		m.want[i] = object{meta: meta, body: was.body, expires: exp}
		if rapid.Bool().Draw(rt, "remember") {
			m.places[i] = placedObject{p, was.body}
		}
	case !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrFull) && !errors.Is(err, ErrEvicted):
		rt.Fatal(err)
	}
}

// fill pushes the oldest segments out.
func (m *model) fill(rt *rapid.T) {
	for range rapid.IntRange(1, 40).Draw(rt, "fillers") {
		m.filler++
		h, k := keyOf(1000 + m.filler)
		err := m.s.Put(h, k, nil, make([]byte, 60_000), time.Time{})
		if err != nil && !errors.Is(err, ErrFull) && !errors.Is(err, ErrEvicted) {
			rt.Fatal(err)
		}
	}
}

func (m *model) reopen(rt *rapid.T) {
	if err := m.s.Close(); err != nil {
		rt.Fatal(err)
	}
	var err error
	if m.s, err = Open(m.o); err != nil {
		rt.Fatal(err)
	}
}

func (m *model) loseIndex(rt *rapid.T) {
	if !rapid.Bool().Draw(rt, "really") {
		return
	}
	m.s.idx.Load().fail(errors.New("injected"))
	for deadline := time.Now().Add(time.Minute); m.s.idx.Load() == nil; {
		if time.Now().After(deadline) {
			rt.Fatal("the index was not replaced")
		}
		time.Sleep(time.Millisecond)
	}
}

func (m *model) check(rt *rapid.T) {
	for i := range m.want {
		m.compare(rt, i)
	}
}
