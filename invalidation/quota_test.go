package invalidation

import (
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"
)

// admitted purges through the quota of a token, as Service does.
func admitted(n *Node, token string, facts ...Fact) error {
	if err := n.Admit(token, facts); err != nil {
		return err
	}
	_, err := n.Purge(facts)
	return err
}

// TestQuota: one token cannot raise the floor for all, nor keep others from purging;
// what it purged before, and everything, it can always purge; and with time it can
// again.
func TestQuota(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	n := mustOpen(t, Options{MaxScopes: 4000, Now: func() time.Time { return now }})
	defer mustClose(t, n)
	bystander := n.subject("w1 http://h.example/bystander")
	tag := func(i int) Fact { return Fact{Kind: Tag, Scope: fmt.Sprintf("tag-%d", i)} }
	done := 0
	var refused *Exhausted
	for i := range 10_000 {
		if err := admitted(n, "greedy", tag(i)); err == nil {
			done++
		} else if !errors.As(err, &refused) {
			t.Fatal(err)
		}
	}
	if done != 1000 || refused == nil || refused.After <= 0 || refused.After > time.Hour {
		t.Errorf("%d went through, then %v", done, refused)
	}
	if st := n.Stats(); st.Floor != 0 || st.Scopes > 4000 || st.Refused != 9000 || n.fresh(bystander) != Valid {
		t.Errorf("%+v, a bystander is %v", st, n.fresh(bystander))
	}
	if err := errors.Join(
		admitted(n, "greedy", tag(1)), admitted(n, "greedy", Fact{Kind: Host, Scope: "h.example"}), admitted(n, "greedy", Fact{Kind: All}),
		admitted(n, "other", tag(20_000)), admitted(n, "", tag(20_001)),
	); err != nil {
		t.Error(err)
	}
	now = now.Add(6 * time.Minute)
	for i := range 200 {
		if err := admitted(n, "greedy", tag(30_000+i)); (err == nil) != (i < 100) {
			t.Fatalf("the purge number %d after a tenth of an hour: %v", i, err)
		}
	}
	for i := range 300 {
		err := admitted(n, "greedy", Fact{Kind: Host, Scope: fmt.Sprintf("h%d.example", i)})
		if i > 255 && !errors.As(err, &refused) || i < 200 && err != nil {
			t.Fatalf("host number %d: %v", i, err)
		}
	}
	if !refused.Hosts {
		t.Errorf("%+v", refused)
	}
}

// TestQuotasAreBounded: made-up names of tokens take no memory without end.
func TestQuotasAreBounded(t *testing.T) {
	n := mustOpen(t, Options{MaxScopes: 1 << 20})
	defer mustClose(t, n)
	for i := range 3 * maxQuotas {
		if err := n.Admit(fmt.Sprintf("token-%d", i), []Fact{{Kind: Tag, Scope: "t"}}); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(n.quotas.tokens); got > maxQuotas+1 {
		t.Errorf("%d quotas", got)
	}
}

// TestScopesStayWithinTheirBudget: the table, filled to its bound, takes what
// docs/operations.md plans for it.
func TestScopesStayWithinTheirBudget(t *testing.T) {
	const budget = 64 << 20
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	tb := &table{}
	tb.init(defaultMaxScopes)
	for i := range uint64(defaultMaxScopes) {
		tb.put(i*0x9E3779B97F4A7C15, cell{hard: i})
	}
	took := heap() - before
	if tb.scopes.Load() != defaultMaxScopes || took > budget {
		t.Errorf("%d scopes take %d MiB, planned are %d", tb.scopes.Load(), took>>20, budget>>20)
	}
	t.Logf("%d scopes take %d MiB", tb.scopes.Load(), took>>20)
}
