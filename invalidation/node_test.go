package invalidation

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func mustOpen(t testing.TB, o Options) *Node {
	t.Helper()
	if o.Node == "" {
		o.Node = "n1"
	}
	n, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func mustClose(t testing.TB, n *Node) {
	t.Helper()
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
}

func mustPurge(t testing.TB, n *Node, facts ...Fact) Purge {
	t.Helper()
	p, err := n.Purge(facts)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// subject is an object fetched now.
func (n *Node) subject(key string, tags ...string) *Subject {
	return &Subject{Key: key, Tags: tags, Epoch: n.Epoch(), Incarnation: n.Incarnation()}
}

func (n *Node) fresh(s *Subject) Verdict {
	v, _ := n.Check(s, new(atomic.Uint64))
	return v
}

// TestScopes: what each kind of fact touches, and what it does not.
func TestScopes(t *testing.T) {
	const key = "w1 http://shop.example:8080/shoes/red?size=9\n h:accept-language=de"
	tags := []string{"products", "p-17"}
	for _, c := range []struct {
		kind  Kind
		scope string
		hits  bool
	}{
		{URL, "http://shop.example:8080/shoes/red?size=9", true},
		{URL, "//shop.example:8080/shoes/red?size=9", true},
		{URL, "https://shop.example:8080/shoes/red?size=9", false},
		{URL, "http://shop.example:8080/shoes/red", false},
		{URL, "http://shop.example/shoes/red?size=9", false},
		{URL, "http://shop.example:8080/shoes/red?size=99", false},
		{Tag, "products", true},
		{Tag, "p-17", true},
		{Tag, "p-1", false},
		{Tag, "Products", false},
		{HostTag, "shop.example:8080 products", true},
		{HostTag, "shop.example:8080 p-17", true},
		{HostTag, "shop.example:8080 p-1", false},
		{HostTag, "shop.example products", false},
		{HostTag, "other.example products", false},
		{Host, "shop.example:8080", true},
		{Host, "shop.example", false},
		{Host, "other.example", false},
		{Prefix, "http://shop.example:8080/shoes/", true},
		{Prefix, "http://shop.example:8080/shoes/red?size=9", true},
		{Prefix, "http://shop.example", true},
		{Prefix, "//shop.example:8080/sh", true},
		{Prefix, "/shoes/", true},
		{Prefix, "/", true},
		{Prefix, "https://shop.example:8080/shoes/", false},
		{Prefix, "/hats/", false},
		{Prefix, "/shoes/red?size=9&x", false},
		{All, "", true},
	} {
		for _, soft := range []bool{false, true} {
			n := mustOpen(t, Options{})
			s := n.subject(key, tags...)
			if v := n.fresh(s); v != Valid {
				t.Fatalf("before: %v", v)
			}
			mustPurge(t, n, Fact{Kind: c.kind, Scope: c.scope, Soft: soft})
			want := Valid
			if c.hits {
				want = Invalid
				if soft {
					want = Stale
				}
			}
			if v := n.fresh(s); v != want {
				t.Errorf("%v %q, soft %v: %v, want %v", c.kind, c.scope, soft, v, want)
			}
			if v := n.fresh(n.subject(key, tags...)); v != Valid {
				t.Errorf("%v %q: what was fetched after it is %v", c.kind, c.scope, v)
			}
			mustClose(t, n)
		}
	}
}

// TestCheckedIsRemembered: one compare while nothing happens, a new look after each purge.
func TestCheckedIsRemembered(t *testing.T) {
	n := mustOpen(t, Options{})
	defer mustClose(t, n)
	s := n.subject("w1 http://a.example/x", "t")
	var checked atomic.Uint64
	if n.Known(&checked) {
		t.Fatal("known before it was checked")
	}
	for range 2 {
		if v, _ := n.Check(s, &checked); v != Valid || !n.Known(&checked) {
			t.Fatal(v)
		}
	}
	mustPurge(t, n, Fact{Kind: Tag, Scope: "other"})
	if n.Known(&checked) {
		t.Fatal("known after a purge")
	}
	if v, _ := n.Check(s, &checked); v != Valid || !n.Known(&checked) {
		t.Fatal(v)
	}
	mustPurge(t, n, Fact{Kind: Tag, Scope: "t", Soft: true})
	for range 2 {
		if v, _ := n.Check(s, &checked); v != Stale || n.Known(&checked) {
			t.Fatal(v)
		}
	}
	mustPurge(t, n, Fact{Kind: Tag, Scope: "t"})
	if v, _ := n.Check(s, &checked); v != Invalid {
		t.Fatal(v)
	}
}

func TestCheckAllocatesNothing(t *testing.T) {
	n := mustOpen(t, Options{})
	defer mustClose(t, n)
	mustPurge(t, n, Fact{Kind: Prefix, Scope: "/hats"}, Fact{Kind: Tag, Scope: "x"})
	s := n.subject("w1 http://a.example/shoes?x=1", "a", "b", "c")
	var checked atomic.Uint64
	if got := testing.AllocsPerRun(100, func() { checked.Store(0); n.Check(s, &checked) }); got != 0 {
		t.Errorf("%v allocations", got)
	}
}

func dirs(t *testing.T) Options {
	dir := t.TempDir()
	return Options{Dir: filepath.Join(dir, "purges"), Mark: filepath.Join(dir, "PURGES")}
}

// TestRestart: facts, numbers and epochs go on where they were.
func TestRestart(t *testing.T) {
	o := dirs(t)
	n := mustOpen(t, o)
	objects := map[string]*Subject{}
	for _, name := range []string{"a", "b", "c", "d"} {
		objects[name] = n.subject("w1 http://h.example/"+name, "tag-"+name)
	}
	first := mustPurge(t, n, Fact{Kind: Tag, Scope: "tag-a"})
	mustPurge(t, n, Fact{Kind: URL, Scope: "//h.example/b", Soft: true})
	mustPurge(t, n, Fact{Kind: Prefix, Scope: "/c"})
	epoch, inc := n.Epoch(), n.Incarnation()
	for range 3 { // each restart goes on with the log
		mustClose(t, n)
		n = mustOpen(t, o)
	}
	if n.Epoch() != epoch || n.Incarnation() != inc {
		t.Errorf("epoch %d, was %d; incarnation %x, was %x", n.Epoch(), epoch, n.Incarnation(), inc)
	}
	for name, want := range map[string]Verdict{"a": Invalid, "b": Stale, "c": Invalid, "d": Valid} {
		if v := n.fresh(objects[name]); v != want {
			t.Errorf("%s is %v, want %v", name, v, want)
		}
	}
	if l := n.List("", 10); len(l) != 3 || l[0].ID != first.ID || l[0].Facts[0] != first.Facts[0] {
		t.Errorf("%+v", l)
	}
	if p := mustPurge(t, n, Fact{Kind: All}); p.ID.String() != "n1:4" {
		t.Errorf("named %v", p.ID)
	}
	if l := n.List("n1:2", 10); len(l) != 2 || l[0].ID.Number != 3 {
		t.Errorf("%+v", l)
	}
	if _, ok := n.Find("n1:3"); !ok {
		t.Error("n1:3 is not found")
	}
	mustClose(t, n)
}

// TestKilled: a log that was copied at any moment has every purge that was acknowledged by then. A record that was cut
// leads to no epoch that is below one seen.
func TestKilled(t *testing.T) {
	o := dirs(t)
	n := mustOpen(t, o)
	s := n.subject("w1 http://h.example/a", "t")
	mustPurge(t, n, Fact{Kind: Tag, Scope: "t"})
	mustPurge(t, n, Fact{Kind: Tag, Scope: "u"})
	epoch := n.Epoch()
	whole, err := os.ReadFile(filepath.Join(o.Dir, logName))
	must(t, err)
	mark, err := os.ReadFile(o.Mark)
	must(t, err)
	mustClose(t, n)
	for cut := range 30 {
		if err := os.WriteFile(filepath.Join(o.Dir, logName), whole[:len(whole)-cut], 0o600); err != nil {
			t.Fatal(err)
		}
		n := mustOpen(t, o)
		if v := n.fresh(s); v != Invalid {
			t.Fatalf("%d bytes cut: %v", cut, v)
		}
		if n.Epoch() < epoch {
			t.Fatalf("%d bytes cut: epoch %d, was %d", cut, n.Epoch(), epoch)
		}
		mustClose(t, n)
		must(t, os.WriteFile(o.Mark, mark, 0o600))
	}
}

// TestDamagedLog: any flipped bit leads to a new incarnation, under which nothing stored before is valid; never to a
// forgotten purge.
func TestDamagedLog(t *testing.T) {
	o := dirs(t)
	n := mustOpen(t, o)
	purged, kept := n.subject("w1 http://h.example/a", "t"), n.subject("w1 http://h.example/b")
	mustPurge(t, n, Fact{Kind: Tag, Scope: "t"})
	mustPurge(t, n, Fact{Kind: Prefix, Scope: "//h.example/c"})
	mustClose(t, n)
	mark, err := os.ReadFile(o.Mark)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(o.Dir, logName)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		b := bytes.Clone(whole)
		b[i] ^= 1 << (i % 8)
		if err := errors.Join(os.WriteFile(path, b, 0o600), os.WriteFile(o.Mark, mark, 0o600)); err != nil {
			t.Fatal(err)
		}
		n := mustOpen(t, o)
		a, b2 := n.fresh(purged), n.fresh(kept)
		mustClose(t, n)
		if a != Invalid {
			t.Fatalf("byte %d of %d: the purged object is %v, the other %v", i, len(whole), a, b2)
		}
	}
}

// TestMark: a log and what is stored belong together, or nothing of what is stored is valid.
func TestMark(t *testing.T) {
	for name, harm := range map[string]func(t *testing.T, o Options, oldLog []byte){
		"log lost":  func(t *testing.T, o Options, _ []byte) { must(t, os.RemoveAll(o.Dir)) },
		"mark lost": func(t *testing.T, o Options, _ []byte) { must(t, os.Remove(o.Mark)) },
		"log of two sessions ago": func(t *testing.T, o Options, old []byte) {
			must(t, os.WriteFile(filepath.Join(o.Dir, logName), old, 0o600))
		},
		"log of another version": func(t *testing.T, o Options, _ []byte) {
			b := appendRecord(nil, func(b []byte) []byte { return append(b, recHeader, 99, 0, 0, 0, 0, 0, 0, 0, 0) })
			must(t, os.WriteFile(filepath.Join(o.Dir, logName), b, 0o600))
		},
		"empty log": func(t *testing.T, o Options, _ []byte) {
			must(t, os.WriteFile(filepath.Join(o.Dir, logName), nil, 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := dirs(t)
			n := mustOpen(t, o)
			old, err := os.ReadFile(filepath.Join(o.Dir, logName))
			must(t, err)
			for range 2 {
				mustClose(t, n)
				n = mustOpen(t, o)
			}
			s := n.subject("w1 http://h.example/a")
			if n.fresh(s) != Valid {
				t.Fatal("invalid before")
			}
			mustClose(t, n)
			harm(t, o, old)
			n = mustOpen(t, o)
			defer mustClose(t, n)
			if v := n.fresh(s); v != Invalid {
				t.Errorf("%v", v)
			}
			if v := n.fresh(n.subject("w1 http://h.example/a")); v != Valid {
				t.Errorf("what is fetched now is %v", v)
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A process that dies between the log's and the mark's new session loses nothing.
func TestKilledBetweenLogAndMark(t *testing.T) {
	o := dirs(t)
	n := mustOpen(t, o)
	s := n.subject("w1 http://h.example/a")
	mustClose(t, n)
	mark, err := os.ReadFile(o.Mark)
	must(t, err)
	n = mustOpen(t, o)
	mustClose(t, n)
	must(t, os.WriteFile(o.Mark, mark, 0o600))
	n = mustOpen(t, o)
	defer mustClose(t, n)
	if v := n.fresh(s); v != Valid {
		t.Error(v)
	}
}

// TestManyAtOnce: purges from many goroutines are all applied, numbered without gaps, and each is in effect when its
// caller is told.
func TestManyAtOnce(t *testing.T) {
	o := dirs(t)
	o.MaxLog = 64 << 10 // rewritten now and then
	n := mustOpen(t, o)
	var wg sync.WaitGroup
	const each = 200
	for g := range 8 {
		wg.Go(func() {
			for i := range each {
				tag := fmt.Sprintf("%d-%d", g, i)
				s := n.subject("w1 http://h.example/a", tag)
				if _, err := n.Purge([]Fact{{Kind: Tag, Scope: tag}}); err != nil {
					t.Error(err)
					return
				}
				if v := n.fresh(s); v != Invalid {
					t.Errorf("%s: %v after its purge", tag, v)
				}
			}
		})
	}
	wg.Wait()
	if st := n.Stats(); st.Last != fmt.Sprintf("n1:%d", 8*each) || st.Scopes != 8*each {
		t.Errorf("%+v", st)
	}
	mustClose(t, n)
	n = mustOpen(t, o)
	defer mustClose(t, n)
	if st := n.Stats(); st.Last != fmt.Sprintf("n1:%d", 8*each) || st.Scopes != 8*each {
		t.Errorf("after a restart: %+v", st)
	}
}

// TestFloor: beyond the bound everything from before the floor is invalid, and memory is bounded.
func TestFloor(t *testing.T) {
	n := mustOpen(t, Options{MaxScopes: 100})
	defer mustClose(t, n)
	old := n.subject("w1 http://h.example/untouched")
	for i := range 1000 {
		tag := fmt.Sprintf("t%d", i)
		s := n.subject("w1 http://h.example/a", tag)
		mustPurge(t, n, Fact{Kind: Tag, Scope: tag})
		if n.fresh(s) != Invalid {
			t.Fatalf("purge %d is forgotten", i)
		}
		if n.fresh(n.subject("w1 http://h.example/a", tag)) != Valid {
			t.Fatalf("purge %d covers what came after it", i)
		}
	}
	st := n.Stats()
	if st.Scopes > 101 || st.FloorRaised == 0 || st.Floor == 0 {
		t.Errorf("%+v", st)
	}
	if v := n.fresh(old); v != Invalid {
		t.Errorf("from before the floor: %v", v)
	}
}

// TestPrefixLengths: more lengths than are looked up are widened, never forgotten.
func TestPrefixLengths(t *testing.T) {
	n := mustOpen(t, Options{})
	defer mustClose(t, n)
	var hit []*Subject
	other := n.subject("w1 http://z.example/x")
	for i := range maxPrefixLengths + 20 {
		p := "http://h.example/" + strings.Repeat("a", i)
		hit = append(hit, n.subject("w1 "+p+"/x"))
		mustPurge(t, n, Fact{Kind: Prefix, Scope: p})
	}
	for i, s := range hit {
		if n.fresh(s) != Invalid {
			t.Errorf("prefix %d is forgotten", i)
		}
	}
	if n.Stats().Widened != 20 {
		t.Errorf("%+v", n.Stats())
	}
	if v := n.fresh(other); v != Valid {
		t.Errorf("another host is %v", v)
	}
}

func TestFaultyFacts(t *testing.T) {
	n := mustOpen(t, Options{})
	defer mustClose(t, n)
	for _, f := range [][]Fact{
		nil, make([]Fact, MaxFacts+1),
		{{}},
		{{Kind: 9, Scope: "x"}},
		{{Kind: Tag}},
		{{Kind: All, Scope: "x"}},
		{{Kind: URL, Scope: "/path"}},
		{{Kind: URL, Scope: "shop"}},
		{{Kind: Prefix, Scope: "shop"}},
		{{Kind: HostTag, Scope: "tag"}},
		{{Kind: HostTag, Scope: "host "}},
		{{Kind: HostTag, Scope: " tag"}},
		{{Kind: HostTag, Scope: "host a b"}},
		{{Kind: Tag, Scope: strings.Repeat("x", MaxScope+1)}},
	} {
		if _, err := n.Purge(f); err == nil {
			t.Errorf("%.60v was taken", f)
		}
	}
	if n.Epoch() != 1 {
		t.Errorf("epoch %d", n.Epoch())
	}
	if _, err := Open(Options{}); err == nil {
		t.Error("a node without a name")
	}
}

func TestClosed(t *testing.T) {
	n := mustOpen(t, dirs(t))
	mustClose(t, n)
	if _, err := n.Purge([]Fact{{Kind: All}}); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if err := n.Close(); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

// FuzzLog: whatever is in the log, opening it ends, and a fact is never read that could not have been written.
func FuzzLog(f *testing.F) {
	n := mustOpen(f, Options{})
	mustPurge(f, n, Fact{Kind: Tag, Scope: "t"}, Fact{Kind: Prefix, Scope: "/x", Soft: true})
	f.Add(n.snapshot(nil, n.Incarnation(), n.state()))
	p := n.List("", 1)[0]
	f.Add(p.append(n.snapshot(nil, n.Incarnation(), n.state())))
	mustClose(f, n)
	f.Fuzz(func(t *testing.T, b []byte) {
		n := &Node{o: Options{Node: "x", MaxScopes: 100, Recent: 10, Now: time.Now}}
		n.reset()
		file := filepath.Join(t.TempDir(), "log")
		must(t, os.WriteFile(file, b, 0o600))
		r, err := os.Open(file)
		must(t, err)
		defer r.Close()
		if _, err := n.load(r); err != nil {
			return
		}
		for _, p := range n.recent {
			for _, f := range p.Facts {
				must(t, f.Validate())
			}
		}
		again := n.snapshot(nil, n.Incarnation(), n.state())
		if _, err := scanLog(bytes.NewReader(again), int64(len(again)), func(int64, []byte) error { return nil }); err != nil {
			t.Fatal(err)
		}
	})
}
