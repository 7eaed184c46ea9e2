package fetch

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"weir/invalidation"
	"weir/origin"
	"weir/policy"
	"weir/proxy/metrics"
	"weir/proxy/stored"
	"weir/tiers"
)

// fakeOrigin answers as a test says, in the goroutine that asks.
type fakeOrigin func(ctx context.Context, r *origin.Request) (*origin.Response, error)

func (f fakeOrigin) Do(ctx context.Context, r *origin.Request) (*origin.Response, error) {
	return f(ctx, r)
}

// response is what an origin answers: fields as "Name: value" lines.
func response(status int, body io.Reader, length int64, lines ...string) *origin.Response {
	var fields policy.Fields
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ": ")
		fields = append(fields, policy.Field{Name: name, Value: value})
	}
	return &origin.Response{Status: status, Fields: fields, ContentLength: length, Body: io.NopCloser(body)}
}

func text(status int, body string, lines ...string) *origin.Response {
	return response(status, strings.NewReader(body), int64(len(body)), lines...)
}

// rig is a machine over tiers in memory, with purges.
type rig struct {
	t     *testing.T
	m     *Machine
	facts *invalidation.Node
	rule  *policy.Rule
	now   time.Time
}

func newRig(t *testing.T) *rig {
	t.Helper()
	set, err := policy.NewSet([]policy.Rule{{Name: "all", Origin: "o"}})
	if err != nil {
		t.Fatal(err)
	}
	ts, err := tiers.Open(tiers.Options{RAMSize: 16 << 20, RAMMaxObject: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	facts, err := invalidation.Open(invalidation.Options{Node: "n1"})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, facts: facts, rule: set.Rules()[0], now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	clock := func() time.Time { return r.now }
	r.m = New(stored.New(ts, facts, clock), metrics.New(metrics.Options{Now: clock}), slog.New(slog.DiscardHandler), clock, 3)
	t.Cleanup(func() {
		r.m.Wait()
		if n := r.m.Running(); n != 0 {
			t.Errorf("%d fetches are under way at the end", n)
		}
		for i := range r.m.flights.shards {
			if s := &r.m.flights.shards[i]; len(s.byKey)+len(s.alone) > 0 {
				t.Errorf("shard %d still holds flights: %v, %v", i, s.byKey, s.alone)
			}
		}
		r.m.Stop()
		if err := errors.Join(ts.Close(), facts.Close()); err != nil {
			t.Error(err)
		}
	})
	return r
}

// ask makes the question of a GET of the path to an origin.
func (r *rig) ask(path string, o fakeOrigin, lines ...string) *Question {
	r.t.Helper()
	q := &Question{Rule: r.rule, Upstream: Upstream{Origin: o}}
	q.Request = policy.Request{Method: "GET", Scheme: "http", Host: []byte("h.example"), Path: []byte(path)}
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ": ")
		q.Request.Fields = append(q.Request.Fields, policy.Field{Name: name, Value: value})
	}
	q.Key = policy.KeyOf(r.rule.AppendKey(nil, &q.Request))
	return q
}

// stored returns what is in the tiers under the question's key.
func (r *rig) stored(q *Question) *tiers.Object {
	return r.m.store.Usable(r.m.store.Lookup(&q.Key.Hash, q.Key.Text))
}

// lead joins as the first, and leads.
func (r *rig) lead(q *Question) (Answer, Own) {
	r.t.Helper()
	f, leads := r.m.Join(&q.Key, false)
	if !leads {
		r.t.Fatal("somebody else leads")
	}
	return f.Lead(q)
}

func readAll(t *testing.T, f *tiers.FillReader) string {
	t.Helper()
	defer f.Close()
	var b []byte
	for {
		p, err := f.Next()
		if err == io.EOF {
			return string(b)
		}
		if err != nil {
			t.Fatal(err)
		}
		b = append(b, p...)
	}
}

func TestLeaderStores(t *testing.T) {
	r := newRig(t)
	q := r.ask("/a", func(_ context.Context, asked *origin.Request) (*origin.Response, error) {
		if asked.Target != "/a" || asked.Host != "h.example" {
			t.Errorf("the origin is asked for %s of %s", asked.Target, asked.Host)
		}
		return text(200, "hello", "Cache-Control: max-age=60"), nil
	})
	a, own := r.lead(q)
	b, ok := a.(*Body)
	if !ok || !b.Stored || b.Status != 200 {
		t.Fatalf("the answer is %#v", a)
	}
	if body := deliver(t, b, own); body != "hello" {
		t.Errorf("the leader reads %q", body)
	}
	r.m.Wait()
	if o := r.stored(q); o == nil || string(o.Body) != "hello" {
		t.Errorf("what is stored is %v", o)
	}
}

// deliver reads the answer as its leader does.
func deliver(t *testing.T, b *Body, own Own) string {
	t.Helper()
	if own.Reader == nil {
		return string(b.Head.Body)
	}
	return readAll(t, own.Reader)
}

// Losing interleaving: a follower asks for the channel behind the answer, and waits
// for ever.
func TestReadyBehindTheAnswer(t *testing.T) {
	r := newRig(t)
	f, leads := r.m.Join(&r.ask("/a", nil).Key, false)
	if !leads {
		t.Fatal("nobody else is there")
	}
	before := f.Ready()
	f.GiveUp()
	for _, ready := range []<-chan struct{}{before, f.Ready()} {
		select {
		case <-ready:
		default:
			t.Error("the answer is here, and is not told")
		}
	}
	if _, ok := f.Answer().(*Again); !ok {
		t.Errorf("the answer is %#v", f.Answer())
	}
}

// Whoever joins a flight gets its answer, whatever the kind, and nobody is left in
// the table behind it.
func TestAnswers(t *testing.T) {
	broken := errors.New("broken")
	cases := []struct {
		name string
		do   func() (*origin.Response, error)
		want func(a Answer) bool
	}{
		{
			"stored", func() (*origin.Response, error) { return text(200, "x", "Cache-Control: max-age=60"), nil },
			func(a Answer) bool { b, ok := a.(*Body); return ok && b.Stored },
		},
		{
			"private", func() (*origin.Response, error) { return text(200, "x", "Cache-Control: private"), nil },
			func(a Answer) bool { b, ok := a.(*Alone); return ok && b.Reason == policy.ReasonPrivate },
		},
		{"failed", func() (*origin.Response, error) {
			return nil, &origin.Error{Kind: origin.Refused, Origin: "o", Err: broken}
		}, func(a Answer) bool {
			b, ok := a.(*Failed)
			return ok && b.Code == 502 && b.Reason == policy.ReasonOriginRefused
		}},
		{
			"a failure of the origin's own", func() (*origin.Response, error) { return text(503, "sorry", "Retry-After: 7"), nil },
			func(a Answer) bool {
				b, ok := a.(*Body)
				return ok && b.Failure && b.Public && !b.Stored && b.RetryAfter == "7"
			},
		},
		{
			"a 304 to no condition", func() (*origin.Response, error) { return text(304, ""), nil },
			func(a Answer) bool { b, ok := a.(*Failed); return ok && b.Reason == policy.ReasonOriginMalformed },
		},
		{
			"a panic", func() (*origin.Response, error) { panic("on purpose") },
			func(a Answer) bool { b, ok := a.(*Failed); return ok && b.Reason == policy.ReasonInternal },
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			asked, go1 := make(chan struct{}), make(chan struct{})
			q := r.ask("/a", func(context.Context, *origin.Request) (*origin.Response, error) {
				close(asked)
				<-go1
				return c.do()
			})
			f, leads := r.m.Join(&q.Key, false)
			if !leads {
				t.Fatal("nobody else is there")
			}
			led := make(chan Answer)
			go func() {
				a, own := f.Lead(q)
				if own.Reader != nil {
					own.Reader.Close()
				}
				if own.Live != nil {
					own.Live.Body.Close()
				}
				led <- a
			}()
			<-asked
			follower, leads := r.m.Join(&q.Key, false)
			if leads || follower != f || follower.Answer() != nil {
				t.Fatalf("the second leads: %v; the answer is %v", leads, follower.Answer())
			}
			ready := follower.Ready()
			close(go1)
			<-ready
			if a := follower.Answer(); !c.want(a) || a != <-led {
				t.Errorf("the answer is %#v", a)
			}
		})
	}
}

// Losing interleaving: the leader's buffers are used for the next request while the
// body still arrives, and what is stored lies under another key.
func TestQuestionIsCopiedBeforeTheLeaderGoesOn(t *testing.T) {
	r := newRig(t)
	in, out := io.Pipe()
	q := r.ask("/a", func(context.Context, *origin.Request) (*origin.Response, error) {
		return response(200, in, 6, "Cache-Control: max-age=60", "Vary: X-Kind"), nil
	}, "X-Kind: one")
	want := policy.KeyOf(bytes.Clone(q.Key.Text))
	a, own := r.lead(q)
	b, ok := a.(*Body)
	if !ok || own.Reader == nil {
		t.Fatalf("the answer is %#v", a)
	}
	variant := b.Head.Hash
	for _, room := range [][]byte{q.Key.Text, q.Request.Path, q.Request.Host} {
		for i := range room {
			room[i] = 'z'
		}
	}
	q.Request.Fields[0] = policy.Field{Name: "X-Kind", Value: "two"}
	if _, err := out.Write([]byte("abcdef")); err != nil {
		t.Fatal(err)
	}
	out.Close()
	if body := readAll(t, own.Reader); body != "abcdef" {
		t.Errorf("the leader reads %q", body)
	}
	r.m.Wait()
	rec := r.m.store.Lookup(&want.Hash, want.Text)
	if rec == nil || rec.Kind != tiers.KindVary || rec.Vary.Index(variant) < 0 {
		t.Fatalf("under the key stands %v", rec)
	}
	if o := r.m.store.Lookup(&variant, []byte(b.Head.Text)); o == nil || string(o.Body) != "abcdef" {
		t.Errorf("the variant is %v", o)
	}
}

// Losing interleavings: a purge, or an unsafe request, comes while the origin
// answers, or while the body arrives.
func TestPurgeDuringAFetch(t *testing.T) {
	purge := func(r *rig, q *Question) {
		if _, err := r.facts.Purge([]invalidation.Fact{{Kind: invalidation.All}}); err != nil {
			r.t.Fatal(err)
		}
	}
	outdate := func(r *rig, q *Question) { r.m.Outdate(q.Key.Hash) }
	for name, come := range map[string]func(*rig, *Question){"purge": purge, "unsafe request": outdate} {
		t.Run(name+" before the header", func(t *testing.T) {
			r := newRig(t)
			var q *Question
			q = r.ask("/a", func(context.Context, *origin.Request) (*origin.Response, error) {
				come(r, q)
				return text(200, "old", "Cache-Control: max-age=60"), nil
			})
			a, own := r.lead(q)
			if alone, ok := a.(*Alone); !ok || alone.Reason != policy.ReasonPurged || own.Live == nil {
				t.Errorf("the answer is %#v", a)
			} else {
				own.Live.Body.Close()
			}
			if o := r.stored(q); o != nil {
				t.Errorf("%q is stored", o.Body)
			}
		})
		t.Run(name+" before the end of the body", func(t *testing.T) {
			r := newRig(t)
			in, out := io.Pipe()
			q := r.ask("/a", func(context.Context, *origin.Request) (*origin.Response, error) {
				return response(200, in, 3, "Cache-Control: max-age=60"), nil
			})
			_, own := r.lead(q)
			come(r, q)
			if _, leads := r.m.Join(&q.Key, false); name != "purge" && !leads {
				t.Error("a request that comes behind the unsafe one may join")
			} else if leads {
				f := r.m.flights.shard(&q.Key.Hash).byKey[q.Key.Hash]
				f.GiveUp()
			}
			if _, err := out.Write([]byte("old")); err != nil {
				t.Fatal(err)
			}
			out.Close()
			if body := readAll(t, own.Reader); body != "old" {
				t.Errorf("the leader reads %q", body)
			}
			r.m.Wait()
			if o := r.stored(q); o != nil {
				t.Errorf("%q is stored", o.Body)
			}
		})
	}
}

// A body that ends before its end is stored nowhere, and whoever reads it learns so.
func TestTruncatedBody(t *testing.T) {
	r := newRig(t)
	in, out := io.Pipe()
	q := r.ask("/a", func(context.Context, *origin.Request) (*origin.Response, error) {
		return response(200, in, 10, "Cache-Control: max-age=60"), nil
	})
	_, own := r.lead(q)
	go func() {
		_, _ = out.Write([]byte("half"))
		out.CloseWithError(&origin.Error{Kind: origin.Truncated, Err: io.ErrUnexpectedEOF})
	}()
	defer own.Reader.Close()
	var err error
	for err == nil {
		_, err = own.Reader.Next()
	}
	if e := (*origin.Error)(nil); !errors.As(err, &e) || e.Kind != origin.Truncated {
		t.Errorf("the leader gets %v", err)
	}
	r.m.Wait()
	if o := r.stored(q); o != nil {
		t.Errorf("%q is stored", o.Body)
	}
}

// A 304 renews what is stored; a purge that came while the origin was asked wins.
func TestRenewal(t *testing.T) {
	for _, purged := range []bool{false, true} {
		r := newRig(t)
		q := r.ask("/a", func(context.Context, *origin.Request) (*origin.Response, error) {
			return text(200, "v1", "Cache-Control: max-age=60", `Etag: "1"`), nil
		})
		a, own := r.lead(q)
		if body := deliver(t, a.(*Body), own); body != "v1" {
			t.Fatalf("the leader reads %q", body)
		}
		r.m.Wait()
		r.now = r.now.Add(2 * time.Minute)
		again := r.ask("/a", func(_ context.Context, asked *origin.Request) (*origin.Response, error) {
			if purged {
				if _, err := r.facts.Purge([]invalidation.Fact{{Kind: invalidation.All}}); err != nil {
					t.Fatal(err)
				}
			}
			return text(304, "", "Cache-Control: max-age=60", `Etag: "1"`), nil
		})
		again.Stale = r.stored(again)
		a, _ = r.lead(again)
		renewed, ok := a.(*Renewed)
		if !ok || renewed.Stored == purged || string(renewed.Object.Body) != "v1" {
			t.Fatalf("purged %v: the answer is %#v", purged, a)
		}
		if o := r.stored(again); (o != nil) == purged {
			t.Errorf("purged %v: %v is stored", purged, o)
		}
	}
}
