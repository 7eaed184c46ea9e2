package fetch

import (
	"context"
	"testing"

	"weir/origin"
	"weir/policy"
)

// conditional is a question of a client that has "v1".
func (r *rig) conditional(path string, o fakeOrigin) *Question {
	q := r.ask(path, o, `If-None-Match: "v1"`)
	q.Request.IfNoneMatch = []byte(`"v1"`)
	return q
}

// A client's condition goes on only where nobody follows. Its 304 answers that client,
// and leaves neither an object nor a mark.
func TestConditionsOfOneClient(t *testing.T) {
	r := newRig(t)
	for _, alone := range []bool{false, true} {
		var saw bool
		q := r.conditional("/a", func(_ context.Context, asked *origin.Request) (*origin.Response, error) {
			if saw = asked.Fields.Has("If-None-Match"); saw {
				return text(304, "", "Cache-Control: private"), nil
			}
			return text(200, "x", "Cache-Control: max-age=0, private"), nil
		})
		q.Conditional = alone
		f := r.m.Alone(&q.Key, false)
		a, own := f.Lead(q)
		b, ok := a.(*Alone)
		if !ok || b.Reason != policy.ReasonPrivate || own.Live == nil || saw != alone {
			t.Fatalf("alone %t: the origin saw the condition: %t; the answer is %#v", alone, saw, a)
		}
		own.Live.Body.Close()
		if own.Live.Status == 304 != alone {
			t.Errorf("alone %t: the status is %d", alone, own.Live.Status)
		}
		_, marked := r.m.store.Marked(&q.Key, false)
		if marked == alone {
			t.Errorf("alone %t: the key is marked: %t", alone, marked)
		}
		r.m.store.Unmark(false, q.Key.Hash)
	}
}

// A 304 that states a lifetime for all makes the machine ask for the whole, once.
func TestSharableNotModifiedIsFetchedWhole(t *testing.T) {
	r := newRig(t)
	asked := 0
	q := r.conditional("/a", func(_ context.Context, req *origin.Request) (*origin.Response, error) {
		asked++
		if req.Fields.Has("If-None-Match") {
			return text(304, "", "Cache-Control: max-age=60", `ETag: "v1"`), nil
		}
		return text(200, "hello", "Cache-Control: max-age=60", `ETag: "v1"`), nil
	})
	q.Conditional = true
	a, own := r.m.Alone(&q.Key, false).Lead(q)
	if b, ok := a.(*Body); !ok || !b.Stored || asked != 2 || deliver(t, b, own) != "hello" {
		t.Fatalf("asked %d times, the answer is %#v", asked, a)
	}
	r.m.Wait()
	if o := r.stored(q); o == nil || string(o.Body) != "hello" {
		t.Errorf("what is stored is %v", o)
	}
}

// The context of a question is let go of once, when nothing depends on it any more:
// by the machine, or by whoever has the live answer.
func TestContextOfAQuestion(t *testing.T) {
	r := newRig(t)
	for path, line := range map[string]string{"/live": "Cache-Control: private", "/stored": "Cache-Control: max-age=60"} {
		done := 0
		ctx, cancel := context.WithCancel(r.m.Context())
		q := r.ask(path, func(got context.Context, _ *origin.Request) (*origin.Response, error) {
			if got != ctx {
				t.Errorf("%s: the origin is asked under another context", path)
			}
			return text(200, "x", line), nil
		})
		q.Context, q.Done = ctx, func() { done++; cancel() }
		_, own := r.m.Alone(&q.Key, false).Lead(q)
		r.m.Wait()
		if live := own.Live != nil; live != (path == "/live") || done == 1 == live {
			t.Errorf("%s: live %t, let go of %d times", path, live, done)
		} else if live {
			own.Live.Body.Close()
			own.Done()
		}
		if done != 1 {
			t.Errorf("%s: let go of %d times in the end", path, done)
		}
	}
	ctx, leave := context.WithCancelCause(r.m.Context())
	leave(ErrClientGone)
	q := r.ask("/gone", func(ctx context.Context, _ *origin.Request) (*origin.Response, error) {
		return nil, &origin.Error{Kind: origin.Canceled, Err: context.Cause(ctx)}
	})
	q.Context = ctx
	if f, ok := first(r.m.Alone(&q.Key, false).Lead(q)).(*Failed); !ok || f.Reason != policy.ReasonClientGone {
		t.Errorf("the answer is %#v", f)
	}
}

func first(a Answer, _ Own) Answer { return a }
