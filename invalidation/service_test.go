package invalidation

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/policy"
)

// told remembers what a Timer is told.
type told struct{ purges, peers int }

func (t *told) PurgeTook(time.Duration) { t.purges++ }
func (t *told) PeerTook(time.Duration)  { t.peers++ }

type peers struct{ pending []string }

func (p peers) Wait(context.Context, ID, time.Time) ([]Ack, []string) {
	return []Ack{{Node: "n2", After: time.Millisecond}}, p.pending
}

func testRules(t *testing.T) *policy.Set {
	t.Helper()
	rules, err := policy.NewSet([]policy.Rule{{Name: "all", Origin: "o"}})
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

// TestService: whoever asks, a purge is validated, applied, waited for, measured and
// told of in the same way.
func TestService(t *testing.T) {
	n := mustOpen(t, Options{})
	defer mustClose(t, n)
	var log bytes.Buffer
	timer := &told{}
	s := &Service{Node: n, Peers: peers{[]string{"n3"}}, Timer: timer, Audit: NewAudit(slog.New(slog.NewTextHandler(&log, nil)))}
	here := n.subject("w1 http://a.example/p", "x")
	there := n.subject("w1 http://b.example/p", "x")
	who := Who{Via: "PURGE", Token: "ci", Address: "192.0.2.1"}

	r, err := s.Purge(t.Context(), who, testRules(t), time.Second, Request{Tags: []string{"x"}, Within: []string{"A.example"}}, Request{URLs: []string{"//c.example/"}, Soft: true})
	if err != nil || len(r.Acks) != 1 || len(r.Pending) != 1 || fmt.Sprint(*timer) != "{1 1}" {
		t.Errorf("%+v, %v, %+v", r, err, *timer)
	}
	if n.fresh(here) != Invalid || n.fresh(there) != Valid {
		t.Errorf("a tag on one host: %v there, %v elsewhere", n.fresh(here), n.fresh(there))
	}
	want := `level=INFO msg="audit: purge" via=PURGE by=ci address=192.0.2.1 scopes="host-tag a.example x, url http://c.example/, url https://c.example/" count=3 soft=true id=n1:1 result=done`
	if !strings.Contains(log.String(), want) {
		t.Errorf("%s, want %s", &log, want)
	}

	for _, bad := range []Request{{}, {URLs: []string{"/x"}}, {Tags: []string{"x"}, Within: []string{"*.example"}}, {Hosts: []string{"*"}}} {
		log.Reset()
		var faults Faults
		if _, err := s.Purge(t.Context(), who, testRules(t), 0, Request{Tags: []string{"y"}}, bad); len(bad.URLs)+len(bad.Tags)+len(bad.Hosts) > 0 && !errors.As(err, &faults) {
			t.Errorf("%+v: %v, want faults", bad, err)
		} else if faults != nil && !strings.Contains(log.String(), "audit: purge refused") {
			t.Errorf("%+v: %s", bad, &log)
		}
	}
	if n.fresh(n.subject("w1 http://b.example/p", "y")) != Valid || timer.purges != 2 {
		t.Errorf("what had faults took effect, %+v", *timer)
	}
}

// sharedBuffer is a buffer that a timer writes to as well.
type sharedBuffer struct {
	mu sync.Mutex // protects b
	b  bytes.Buffer
}

func (s *sharedBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *sharedBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func (s *sharedBuffer) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.b.Reset()
}

// TestAuditIsBounded: whoever has no rights can cause so many lines and no more, and
// is counted from then on.
func TestAuditIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log sharedBuffer
		a := NewAudit(slog.New(slog.NewTextHandler(&log, nil)))
		refuse := func(n int) {
			for range n {
				a.Refused(Who{Via: "api", Address: "192.0.2.1"}, "POST /v1/purge", "unknown token")
			}
		}
		refuse(1000)
		if n := strings.Count(log.String(), "audit: refused"); n != maxRefusals {
			t.Errorf("%d lines, want %d", n, maxRefusals)
		}
		time.Sleep(auditWindow)
		synctest.Wait()
		if want := fmt.Sprintf(`msg="audit: lines left out" of=refusals lines=%d within=10s`, 1000-maxRefusals); !strings.Contains(log.String(), want) {
			t.Errorf("%s, want %s", &log, want)
		}
		log.Reset()
		refuse(1)
		if !strings.Contains(log.String(), "audit: refused") {
			t.Error("no line in the next window")
		}
		time.Sleep(auditWindow)
		synctest.Wait()
		if strings.Contains(log.String(), "left out") {
			t.Errorf("nothing was left out: %s", &log)
		}
		var nobody *Audit
		nobody.Refused(Who{}, "", "")
	})
}

// TestInspect: who looks into a log sees what the node that wrote it sees, while it
// is open, and changes nothing.
func TestInspect(t *testing.T) {
	dir := t.TempDir()
	mark := filepath.Join(dir, "PURGES")
	n := mustOpen(t, Options{Dir: filepath.Join(dir, "purges"), Mark: mark})
	a, b := n.subject("w1 http://h/a", "x"), n.subject("w1 http://h/b")
	mustPurge(t, n, Fact{Kind: HostTag, Scope: "h x"}, Fact{Kind: URL, Scope: "//h/b", Soft: true})
	after := n.subject("w1 http://h/a", "x")
	before, err := os.ReadFile(filepath.Join(dir, "purges", logName))
	if err != nil {
		t.Fatal(err)
	}
	look := func() *View {
		t.Helper()
		v, err := Inspect(filepath.Join(dir, "purges"), mark)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	v := look()
	if v.Unusable != nil || v.Check(a) != Invalid || v.Check(b) != Stale || v.Check(after) != Valid {
		t.Errorf("%v: %v %v %v", v.Unusable, v.Check(a), v.Check(b), v.Check(after))
	}
	mustClose(t, n)
	if got, err := os.ReadFile(filepath.Join(dir, "purges", logName)); err != nil || !bytes.Equal(got, before) {
		t.Errorf("the log has changed: %v", err)
	}
	// A restart keeps it.
	n = mustOpen(t, Options{Dir: filepath.Join(dir, "purges"), Mark: mark})
	if n.fresh(a) != Invalid || n.fresh(after) != Valid {
		t.Errorf("after a restart: %v %v", n.fresh(a), n.fresh(after))
	}
	mustClose(t, n)
	for _, spoil := range []func() error{
		func() error { return os.WriteFile(mark, make([]byte, 16), 0o600) },
		func() error {
			return os.WriteFile(filepath.Join(dir, "purges", logName), bytes.Repeat([]byte("x"), 64), 0o600)
		},
		func() error { return os.Remove(filepath.Join(dir, "purges", logName)) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		if v := look(); v.Unusable == nil || v.Check(after) != Invalid {
			t.Errorf("a log that no start would use: %v, %v", v.Unusable, v.Check(after))
		}
	}
}
