package invalidation

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"
)

// apply hands purges over and waits for the outcome.
func apply(t testing.TB, n *Node, purges ...Purge) error {
	t.Helper()
	return outcome(t, func(done func(error)) bool { return n.Apply(purges, done) })
}

func outcome(t testing.TB, do func(done func(error)) bool) error {
	t.Helper()
	c := make(chan error, 1)
	if !do(func(err error) { c <- err }) {
		t.Fatal("the node is closed")
	}
	return <-c
}

func remote(node string, incarnation, number uint64, tag string) Purge {
	return Purge{ID: ID{node, incarnation, number}, At: 1, Facts: []Fact{{Kind: Tag, Scope: tag}}}
}

// TestApply: purges of others take effect in order, once, and never past a gap.
func TestApply(t *testing.T) {
	o := dirs(t)
	n := mustOpen(t, o)
	s := n.subject("w1 http://h.example/a", "t2")
	if err := apply(t, n, remote("n2", 7, 1, "t1"), remote("n2", 7, 2, "t2")); err != nil {
		t.Fatal(err)
	}
	if v := n.fresh(s); v != Invalid {
		t.Errorf("%v after another node's purge", v)
	}
	epoch := n.Epoch()
	if err := apply(t, n, remote("n2", 7, 1, "t1"), remote("n2", 7, 2, "t2")); err != nil || n.Epoch() != epoch {
		t.Errorf("%v, epoch %d, was %d: they took effect twice", err, n.Epoch(), epoch)
	}
	s = n.subject("w1 http://h.example/a", "t4")
	if err := apply(t, n, remote("n2", 7, 4, "t4")); !errors.Is(err, ErrGap) || n.fresh(s) != Valid {
		t.Errorf("past a gap: %v, %v", err, n.fresh(s))
	}
	// The good beginning of a list counts, and another incarnation is another origin.
	if err := apply(t, n, remote("n2", 7, 3, "t3"), remote("n2", 7, 5, "t5")); !errors.Is(err, ErrGap) {
		t.Error(err)
	}
	if err := apply(t, n, remote("n2", 8, 1, "x")); err != nil {
		t.Error(err)
	}
	mine := mustPurge(t, n, Fact{Kind: All})
	want := Vector{{"n2", 7}: 3, {"n2", 8}: 1, mine.ID.origin(): 1}
	for range 2 {
		if v := n.Vector(); !v.Covers(want) || !want.Covers(v) {
			t.Errorf("%v, want %v", v, want)
		}
		mustClose(t, n)
		n = mustOpen(t, o)
	}
	mustClose(t, n)
}

// readAll reads an origin's purges in chunks, as a peer does.
func readAll(n *Node, o Origin, after uint64, chunk int) ([]Purge, error) {
	var all []Purge
	for {
		list, err := n.Read(o, after, chunk)
		if err != nil || len(list) == 0 {
			return all, err
		}
		all = append(all, list...)
		after = list[len(list)-1].ID.Number
	}
}

// TestRead: whatever lies between, each origin's purges come back whole and in order, after restarts too; what the
// log has dropped is said to be dropped.
func TestRead(t *testing.T) {
	for _, mode := range []string{"file", "memory"} {
		t.Run(mode, func(t *testing.T) {
			o := Options{}
			if mode == "file" {
				o = dirs(t)
				o.Recent = 10 // the file has more
			}
			n := mustOpen(t, o)
			const each = 3000
			for i := range uint64(each) {
				batch := []Purge{remote("n2", 7, i+1, fmt.Sprint("a", i))}
				if i%100 == 0 { // a rare one
					batch = append(batch, remote("n3", 9, i/100+1, fmt.Sprint("b", i)))
				}
				if err := apply(t, n, batch...); err != nil {
					t.Fatal(err)
				}
			}
			check := func() {
				t.Helper()
				for _, c := range []struct {
					o     Origin
					after uint64
					want  int
				}{
					{Origin{"n2", 7}, 0, each},
					{Origin{"n2", 7}, 1, each - 1},
					{Origin{"n2", 7}, 1777, each - 1777},
					{Origin{"n2", 7}, each - 1, 1},
					{Origin{"n2", 7}, each, 0},
					{Origin{"n2", 7}, each + 5, 0},
					{Origin{"n3", 9}, 0, each / 100},
					{Origin{"n3", 9}, 17, each/100 - 17},
					{Origin{"n2", 8}, 0, 0},
				} {
					for _, chunk := range []int{1, 1000, 1 << 20} {
						list, err := readAll(n, c.o, c.after, chunk)
						if err != nil || len(list) != c.want {
							t.Fatalf("%v behind %d by %d: %d, %v; want %d", c.o, c.after, chunk, len(list), err, c.want)
						}
						for i, p := range list {
							if p.ID != (ID{c.o.Node, c.o.Incarnation, c.after + uint64(i) + 1}) {
								t.Fatalf("%v at %d", p.ID, i)
							}
						}
						if c.want > 100 && chunk == 1 {
							break // one is enough of so many reads
						}
					}
				}
			}
			check()
			if mode == "file" {
				mustClose(t, n)
				n = mustOpen(t, o)
				check()
			}
			mustClose(t, n)
		})
	}
}

// TestReadTruncated: a log at its bound keeps the younger half, and says so of what it dropped.
func TestReadTruncated(t *testing.T) {
	o := dirs(t)
	o.MaxLog, o.Recent = 256<<10, 1
	n := mustOpen(t, o)
	for i := range uint64(100) {
		var batch []Purge
		for j := range uint64(100) {
			batch = append(batch, remote("n2", 7, i*100+j+1, fmt.Sprint("tag-", i, "-", j)))
		}
		if err := apply(t, n, batch...); err != nil {
			t.Fatal(err)
		}
		if st, err := os.Stat(n.file.path); err != nil || st.Size() > o.MaxLog+n.file.base {
			t.Fatalf("the log has %d bytes, %v", st.Size(), err)
		}
	}
	for range 2 {
		from := Origin{"n2", 7}
		if _, err := n.Read(from, 0, 1000); !errors.Is(err, ErrTruncated) {
			t.Errorf("what is gone: %v", err)
		}
		first := n.file.marks[from][0].number
		if first < 2 || first > 9000 {
			t.Errorf("the first kept is %d", first)
		}
		if _, err := n.Read(from, first-2, 1000); !errors.Is(err, ErrTruncated) {
			t.Errorf("the last that is gone: %v", err)
		}
		if list, err := readAll(n, from, first-1, 10_000); err != nil || len(list) != int(10_000-first+1) {
			t.Errorf("%d kept, %v; want %d", len(list), err, 10_000-first+1)
		}
		mustClose(t, n)
		n = mustOpen(t, o)
	}
	mustClose(t, n)
}

// TestAdopt: what was fetched before is invalid, what is fetched after is not, and the positions are the peer's,
// after a restart too.
func TestAdopt(t *testing.T) {
	o := dirs(t)
	n := mustOpen(t, o)
	mustPurge(t, n, Fact{Kind: Tag, Scope: "x"})
	s := n.subject("w1 http://h.example/a")
	v := Vector{{"n2", 7}: 41, n.Self(): 99}
	if err := outcome(t, func(done func(error)) bool { return n.Adopt(v, done) }); err != nil {
		t.Fatal(err)
	}
	after := n.subject("w1 http://h.example/a")
	for range 2 {
		got := n.Vector()
		if got[Origin{"n2", 7}] != 41 || got[n.Self()] != 1 {
			t.Errorf("%v", got)
		}
		if n.fresh(s) != Invalid || n.fresh(after) != Valid {
			t.Errorf("before %v, after %v", n.fresh(s), n.fresh(after))
		}
		if _, err := n.Read(Origin{"n2", 7}, 0, 100); !errors.Is(err, ErrTruncated) {
			t.Errorf("it gives on what it never had: %v", err)
		}
		mustClose(t, n)
		n = mustOpen(t, o)
	}
	if err := apply(t, n, remote("n2", 7, 42, "t")); err != nil {
		t.Error(err)
	}
	mustClose(t, n)
}

// TestRenew: a new incarnation gives out new numbers, and nothing from before is valid, whatever epoch and incarnation
// a fetch under way has noted.
func TestRenew(t *testing.T) {
	o := dirs(t)
	n := mustOpen(t, o)
	mustPurge(t, n, Fact{Kind: Tag, Scope: "x"})
	old := n.subject("w1 http://h.example/a")
	if err := outcome(t, n.Renew); err != nil {
		t.Fatal(err)
	}
	now := n.subject("w1 http://h.example/a")
	if now.Incarnation == old.Incarnation {
		t.Fatal("the incarnation is the same")
	}
	mixed := []*Subject{
		{Key: old.Key, Epoch: old.Epoch, Incarnation: now.Incarnation},
		{Key: old.Key, Epoch: now.Epoch, Incarnation: old.Incarnation},
	}
	for range 2 {
		for i, s := range append(mixed, old) {
			if n.fresh(s) != Invalid {
				t.Errorf("%d is %v", i, n.fresh(s))
			}
		}
		if n.fresh(now) != Valid {
			t.Error("what came after it is not valid")
		}
		mustClose(t, n)
		n = mustOpen(t, o)
	}
	if p := mustPurge(t, n, Fact{Kind: All}); p.ID.Number != 1 || p.ID.Incarnation != now.Incarnation {
		t.Errorf("%+v", p.ID)
	}
	mustClose(t, n)
}

// TestOriginsAreBounded: peers cannot make a node keep positions without end.
func TestOriginsAreBounded(t *testing.T) {
	n := mustOpen(t, Options{})
	defer mustClose(t, n)
	for i := range uint64(MaxOrigins) {
		if err := apply(t, n, remote("n2", i+1, 1, "t")); err != nil {
			t.Fatal(err)
		}
	}
	if err := apply(t, n, remote("n2", MaxOrigins+1, 1, "t")); !errors.Is(err, ErrGap) {
		t.Error(err)
	}
	if err := outcome(t, func(done func(error)) bool { return n.Adopt(Vector{{"n4", 1}: 1}, done) }); err == nil {
		t.Error("a vector beyond the bound was taken")
	}
}

func TestVector(t *testing.T) {
	v := Vector{{"a", 1}: 5, {"b", 2}: 7}
	w := Vector{{"a", 1}: 6, {"c", 3}: 2}
	if v.Covers(w) || v.Behind(w) != 3 || w.Behind(v) != 7 {
		t.Errorf("%d, %d", v.Behind(w), w.Behind(v))
	}
	u := v.Clone()
	u.Merge(w)
	if !u.Covers(v) || !u.Covers(w) || v.Covers(u) || len(u) != 3 {
		t.Errorf("%v", u)
	}
	r := Decoder{b: u.Append(nil)}
	if got := r.Vector(); r.bad || !got.Covers(u) || !u.Covers(got) {
		t.Errorf("%v", got)
	}
}

// TestWatch: watchers are told in the order of effect, until they stop.
func TestWatch(t *testing.T) {
	n := mustOpen(t, Options{})
	defer mustClose(t, n)
	var seen []string
	stop := n.Watch(func(p Purge) { seen = append(seen, p.ID.String()) })
	mustPurge(t, n, Fact{Kind: All})
	if err := apply(t, n, remote("n2", 7, 1, "t")); err != nil {
		t.Fatal(err)
	}
	stop()
	mustPurge(t, n, Fact{Kind: All})
	if len(seen) != 2 || seen[0] != "n1:1" || seen[1] != "n2:1" {
		t.Errorf("%v", seen)
	}
}

// TestSoftPurgeOfAClockAhead: a soft purge of a node whose clock is ahead makes stale
// at once.
func TestSoftPurgeOfAClockAhead(t *testing.T) {
	n := mustOpen(t, dirs(t))
	defer mustClose(t, n)
	s := n.subject("w1 http://h.example/a", "t1")
	p := remote("n2", 7, 1, "t1")
	p.At, p.Facts[0].Soft = time.Now().Add(time.Hour).UnixMilli(), true
	if err := apply(t, n, p); err != nil {
		t.Fatal(err)
	}
	v, since := n.Check(s, new(atomic.Uint64))
	if now := time.Now().UnixMilli(); v != Stale || since > now {
		t.Errorf("%v since %d, now is %d", v, since, now)
	}
}
