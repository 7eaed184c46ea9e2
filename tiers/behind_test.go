package tiers

import (
	"bytes"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"weir/policy"
)

// held opens tiers whose disk is not told anything of object 1 until release is called.
func held(t *testing.T) (s *Store, release func()) {
	t.Helper()
	s = openTest(t, testOptions(t.TempDir()))
	h, _ := keyOf(1)
	g := s.guards.of(&h)
	g.mu.Lock()
	return s, g.mu.Unlock
}

func publish(t *testing.T, s *Store, o *Object) {
	t.Helper()
	if reason := s.Publish(o, nothing); reason != policy.ReasonNone {
		t.Fatal(reason)
	}
}

// TestBehindIsFound: what RAM has forgotten before the disk was told is found all the same, and nothing older.
func TestBehindIsFound(t *testing.T) {
	s, release := held(t)
	o := objectOf(1, 2, 100)
	publish(t, s, o)
	s.ram.delete(&o.Hash) // as an eviction does
	if got := s.Lookup(&o.Hash, []byte(o.Text)); got != o {
		t.Errorf("got %v before the disk was told, want the object", got)
	}
	if s.Lookup(&o.Hash, []byte("w1 https://other.example/")) != nil {
		t.Error("another key's object was handed out")
	}
	release()
	got := s.lookupDisk(1)
	sameObject(t, got, o, policy.TierDisk)
}

// TestBehindGivesWay forces the interleavings in the comment on behind: what comes while a job waits is what the disk
// has in the end.
func TestBehindGivesWay(t *testing.T) {
	// v3 is as long as what waits: only its bytes tell whose body is on disk.
	v3 := objectOf(1, 3, 100)
	for name, meanwhile := range map[string]func(s *Store, v2 *Object) *Object{
		"delete":  func(s *Store, v2 *Object) *Object { s.Delete(&v2.Hash); return nil },
		"put":     func(s *Store, _ *Object) *Object { s.Put(v3); return v3 },
		"publish": func(s *Store, _ *Object) *Object { s.Publish(v3, nothing); return v3 },
		"spill": func(s *Store, _ *Object) *Object {
			large := objectOf(1, 4, 300*kib)
			fillWith(t, s, large)
			return large
		},
		"renewal": func(s *Store, v2 *Object) *Object { n := dated(v2, 7); s.Refresh(v2, n); return n },
		"renewals": func(s *Store, v2 *Object) *Object {
			n := dated(v2, 7)
			s.Refresh(v2, n)
			m := dated(n, 8)
			s.Refresh(n, m)
			return m
		},
		"publish, and its renewal": func(s *Store, _ *Object) *Object {
			s.Publish(v3, nothing)
			n := dated(v3, 7)
			s.Refresh(v3, n)
			return n
		},
	} {
		for _, waits := range []string{"publish", "renewal", "renewal, no room on disk before"} {
			t.Run(name+" after a "+waits, func(t *testing.T) {
				s := openTest(t, testOptions(t.TempDir()))
				v2 := objectOf(1, 2, 100)
				g := s.guards.of(&v2.Hash)
				was := v2
				if waits != "publish" {
					// Its body is another one of the same length.
					was = objectOf(1, 2, 100)
					was.Freshness.Born--
					publish(t, s, was)
					s.diskTold()
				}
				if waits == "renewal, no room on disk before" {
					s.disk.Load().Delete(v2.Hash)
				}
				g.mu.Lock()
				release := g.mu.Unlock
				if waits == "publish" {
					publish(t, s, v2)
				} else {
					v2 = renewed(was)
					v2.Freshness.Born = was.Freshness.Born + 1
					s.Refresh(was, v2)
				}
				done := make(chan struct{})
				var want *Object
				go func() { defer close(done); want = meanwhile(s, v2) }()
				// What writes the disk itself has come to the guard, or is done, before that opens.
				for s.guards.of(&v2.Hash).pending.Load() == 1 && !isClosed(done) {
					time.Sleep(time.Millisecond)
				}
				release()
				<-done
				got := s.lookupDisk(1)
				if want == nil {
					if got != nil || s.lookup(1) != nil {
						t.Errorf("it came back: %v", got)
					}
					return
				}
				if got == nil || !got.Same(want) {
					t.Fatalf("the disk has %v, want %v", got, want)
				}
				body := v3.Body
				if !strings.HasPrefix(want.Fields.Get("Etag"), `"1-3`) {
					body = bodyOf(1, 2, 100)
				}
				if want.Length > 100 {
					body = bodyOf(1, 4, int(want.Length))
				}
				if stored, err := wholeOf(got); err != nil || !bytes.Equal(stored, body) {
					t.Errorf("the disk has another body (%v)", err)
				}
				got.Close()
				if n := s.guards.of(&v2.Hash).pending.Load(); n != 0 {
					t.Errorf("%d writes are under way for ever", n)
				}
			})
		}
	}
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// TestBehindWritesTheLast: of many renewals of one object that wait for the disk one is written.
func TestBehindWritesTheLast(t *testing.T) {
	o := testOptions(t.TempDir())
	var writes atomic.Int64
	o.Disk.OnWrite = func(time.Duration) { writes.Add(1) }
	s := openTest(t, o)
	h, _ := keyOf(1)
	last := objectOf(1, 1, 100)
	publish(t, s, last)
	s.diskTold()
	before := writes.Load()
	g := s.guards.of(&h)
	g.mu.Lock()
	for n := range 50 {
		next := dated(last, n)
		if reason := s.Refresh(last, next); reason != policy.ReasonNone {
			t.Fatal(reason)
		}
		last = next
	}
	g.mu.Unlock()
	got := s.lookupDisk(1)
	if got == nil || !got.Same(last) {
		t.Errorf("the disk has %v, want the last", got)
	}
	if n := writes.Load() - before; n > 2 {
		t.Errorf("%d writes for 50 renewals", n)
	}
}

// TestBehindIsBounded: what finds no room is written by whoever brings it, and a stop leaves nothing untold.
func TestBehindIsBounded(t *testing.T) {
	o := testOptions(t.TempDir())
	s, err := Open(o)
	must(t, err)
	const n = 200 // of 10 KiB: the queue of this tier has room for a dozen
	for i := range n {
		publish(t, s, objectOf(i, 1, 10*kib))
		s.behind.mu.Lock()
		if s.behind.bytes > s.behind.limit {
			t.Errorf("%d bytes wait, at most %d may", s.behind.bytes, s.behind.limit)
		}
		s.behind.mu.Unlock()
	}
	must(t, s.Close())
	if len(s.behind.jobs) != 0 || s.behind.bytes != 0 {
		t.Errorf("%d jobs with %d bytes are left", len(s.behind.jobs), s.behind.bytes)
	}
	s = openTest(t, o)
	for i := range n {
		if s.lookupDisk(i) == nil {
			t.Fatalf("object %d is not on disk after a stop", i)
		}
	}
}
