package invalidation

import (
	"os"
	"testing"
)

// late opens a node whose log is attached later.
func late(t testing.TB, o Options) *Node {
	t.Helper()
	o.Later = true
	n := mustOpen(t, o)
	if n.LogState() != LogOpening {
		t.Fatal(n.LogState())
	}
	return n
}

func attach(t testing.TB, n *Node) {
	t.Helper()
	l, err := n.Load()
	if err != nil {
		t.Fatal(err)
	}
	if err := outcome(t, func(done func(error)) bool { return n.Attach(l, done) }); err != nil {
		t.Fatal(err)
	}
}

// TestAttach: purges that were made before the log was there bind what the disk has;
// what was fetched in the meantime stays as valid as it was; and both outlive the
// process.
func TestAttach(t *testing.T) {
	for _, before := range []int{0, 1, 50} {
		o := dirs(t)
		n := mustOpen(t, o)
		for range before {
			mustPurge(t, n, Fact{Kind: Tag, Scope: "old"})
		}
		stored, gone := n.subject("w1 http://h.example/a"), n.subject("w1 http://h.example/a", "t")
		path := n.subject("w1 http://h.example/p/x")
		soft := n.subject("w1 http://h.example/a", "s")
		mustClose(t, n)

		n = late(t, o)
		early := n.subject("w1 http://h.example/a", "t")
		mustPurge(t, n, Fact{Kind: Tag, Scope: "t"}, Fact{Kind: Prefix, Scope: "/p/"}, Fact{Kind: Tag, Scope: "s", Soft: true})
		fetched, later := n.subject("w1 http://h.example/a", "t"), n.subject("w1 http://h.example/a", "u")
		check := func(when string) {
			t.Helper()
			for name, c := range map[string]struct {
				s    *Subject
				want Verdict
			}{
				"on disk": {stored, Valid}, "on disk, purged since": {gone, Invalid}, "on disk, its prefix purged": {path, Invalid},
				"on disk, softly purged": {soft, Stale}, "fetched before the purge": {early, Invalid},
				"fetched behind it": {fetched, Valid}, "fetched, purged when the log was there": {later, Invalid},
			} {
				if v := n.fresh(c.s); v != c.want {
					t.Errorf("%d purges before, %s: %s is %v", before, when, name, v)
				}
			}
		}
		attach(t, n)
		if n.fresh(later) != Valid {
			t.Error("the attached log made invalid what was fetched in the meantime")
		}
		mustPurge(t, n, Fact{Kind: Tag, Scope: "u"})
		check("attached")
		if n.LogState() != LogWritten || n.Stats().Unlogged != 0 || n.Fresh() {
			t.Errorf("log %v, %d unlogged, fresh %v", n.LogState(), n.Stats().Unlogged, n.Fresh())
		}
		again := n.subject("w1 http://h.example/a", "t")
		mustClose(t, n)
		n = mustOpen(t, o)
		if n.fresh(stored) != Valid || n.fresh(gone) != Invalid || n.fresh(path) != Invalid || n.fresh(again) != Valid {
			t.Errorf("%d purges before, after a restart: %v, %v, %v, %v", before, n.fresh(stored), n.fresh(gone), n.fresh(path), n.fresh(again))
		}
		mustClose(t, n)
	}
}

// TestPurgeBeforeAttachOutlivesACrash: a purge that was acknowledged before the log
// was there is never contradicted by what the disk holds, also when the process dies.
func TestPurgeBeforeAttachOutlivesACrash(t *testing.T) {
	o := dirs(t)
	n := mustOpen(t, o)
	gone := n.subject("w1 http://h.example/a", "t")
	mustClose(t, n)
	for _, loads := range []bool{false, true} {
		n = late(t, o)
		var l *Loaded
		if loads {
			var err error
			if l, err = n.Load(); err != nil {
				t.Fatal(err)
			}
		}
		if p := mustPurge(t, n, Fact{Kind: Tag, Scope: "t"}); !p.Unlogged {
			t.Error("it says that it is in the log")
		}
		close(n.stop)
		<-n.done
		if l != nil {
			must(t, l.Close())
		}
		n = mustOpen(t, o)
		if v := n.fresh(gone); v != Invalid {
			t.Errorf("after a crash, the log loaded %v: %v", loads, v)
		}
		gone = n.subject("w1 http://h.example/a", "t")
		mustClose(t, n)
	}
}

// TestAttachKeepsTheDiskWarm: the mark that a purge removed before the log was read
// is no reason to give up what is on disk.
func TestAttachKeepsTheDiskWarm(t *testing.T) {
	o := dirs(t)
	n := mustOpen(t, o)
	kept := n.subject("w1 http://h.example/b")
	mustClose(t, n)
	n = late(t, o)
	mustPurge(t, n, Fact{Kind: Tag, Scope: "t"})
	if _, err := os.Stat(o.Mark); err == nil {
		t.Error("the mark is still there")
	}
	attach(t, n)
	if n.fresh(kept) != Valid {
		t.Error("what was on disk is invalid")
	}
	mustClose(t, n)
	n = mustOpen(t, o)
	defer mustClose(t, n)
	if n.fresh(kept) != Valid {
		t.Error("what was on disk is invalid after a restart")
	}
}

// TestAdoptBeforeAttach: what a peer's vector was taken over for is missing for what
// is on disk, and shows as missing once the log is attached.
func TestAdoptBeforeAttach(t *testing.T) {
	o := dirs(t)
	n := mustOpen(t, o)
	if err := apply(t, n, remote("n2", 7, 1, "x"), remote("n2", 7, 2, "x")); err != nil {
		t.Fatal(err)
	}
	stored := n.subject("w1 http://h.example/a", "t")
	mustClose(t, n)

	n = late(t, o)
	mine := n.subject("w1 http://h.example/a")
	if err := outcome(t, func(done func(error)) bool { return n.Adopt(Vector{{"n2", 7}: 5, {"n3", 9}: 4}, done) }); err != nil {
		t.Fatal(err)
	}
	if n.fresh(mine) != Invalid {
		t.Error("what was fetched before the vector was taken over is valid")
	}
	mine = n.subject("w1 http://h.example/a")
	if err := apply(t, n, remote("n2", 7, 6, "y")); err != nil {
		t.Fatal(err)
	}
	attach(t, n)
	if v := n.Vector(); v[Origin{"n2", 7}] != 2 || v[Origin{"n3", 9}] != 0 {
		t.Errorf("%v: purges are passed over that what is on disk has not seen", v)
	}
	if n.fresh(stored) != Valid || n.fresh(mine) != Valid {
		t.Errorf("on disk %v, in memory %v", n.fresh(stored), n.fresh(mine))
	}
	if err := apply(t, n, remote("n2", 7, 3, "t"), remote("n2", 7, 4, "a"), remote("n2", 7, 5, "b"), remote("n2", 7, 6, "y")); err != nil {
		t.Fatal(err)
	}
	if n.fresh(stored) != Invalid {
		t.Error("a purge that was missed does not bind what is on disk")
	}
	mustClose(t, n)
}
