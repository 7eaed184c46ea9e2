package admin

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// follow opens the stream and reads its greeting, after which nothing is missed.
func follow(t *testing.T, e *Events) *bufio.Reader {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(e.stream))
	t.Cleanup(s.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	body := bufio.NewReader(resp.Body)
	if hello, err := body.ReadString('\n'); err != nil || hello != ": weir events\n" {
		t.Fatalf("the stream begins with %q (%v)", hello, err)
	}
	return body
}

// readEvent reads an event; comments and empty lines before it do not count.
func readEvent(r *bufio.Reader) (string, error) {
	var event strings.Builder
	for {
		line, err := r.ReadString('\n')
		switch {
		case err != nil || line == "\n" && event.Len() > 0:
			return event.String(), err
		case line != "\n" && !strings.HasPrefix(line, ":"):
			event.WriteString(line)
		}
	}
}

func (e *Events) followers() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.subs)
}

func TestEventsReachEveryFollower(t *testing.T) {
	e := new(Events)
	e.Publish("purge", "before anybody listens")
	a, b := follow(t, e), follow(t, e)
	e.Publish("peer-lost", map[string]string{"peer": "edge-2"})
	for _, r := range []*bufio.Reader{a, b} {
		if got, err := readEvent(r); err != nil || got != "event: peer-lost\ndata: {\"peer\":\"edge-2\"}\n" {
			t.Errorf("got %q (%v)", got, err)
		}
	}
	e.Close()
	for _, r := range []*bufio.Reader{a, b} {
		if rest, err := io.ReadAll(r); err != nil || strings.TrimSpace(string(rest)) != "" {
			t.Errorf("after Close the stream holds %q (%v)", rest, err)
		}
	}
}

// TestASlowFollowerIsCutOff: a client that does not read holds up nobody; its
// stream ends with what it was sent until then.
func TestASlowFollowerIsCutOff(t *testing.T) {
	e := new(Events)
	slow, quick := follow(t, e), follow(t, e)
	text := strings.Repeat("x", 16<<10)
	sent := 0
	for ; e.followers() == 2; sent++ {
		if sent > 4*eventBuffer {
			t.Fatalf("a client that reads nothing is still there after %d events of %d bytes", sent, len(text))
		}
		e.Publish("purge", text)
		if _, err := readEvent(quick); err != nil {
			t.Fatalf("event %d: %v", sent, err)
		}
	}
	if sent < eventBuffer {
		t.Errorf("the client was cut off after %d events, it may be %d behind", sent, eventBuffer)
	}
	got := 0
	for {
		if _, err := readEvent(slow); err != nil {
			break
		}
		got++
	}
	if got == 0 || got >= sent {
		t.Errorf("the slow client got %d of %d events, then its stream ended", got, sent)
	}
	e.Publish("purge", "last")
	if last, err := readEvent(quick); err != nil || last != "event: purge\ndata: \"last\"\n" {
		t.Errorf("the other client got %q (%v)", last, err)
	}
	e.Close()
}

func TestEventsNeedTheScopeRead(t *testing.T) {
	p := goodParts()
	e := new(Events)
	h, err := NewHandler(Options{Status: p, Ready: p, Metrics: p, Tokens: testTokens(), Events: e})
	if err != nil {
		t.Fatal(err)
	}
	if w := ask(h, http.MethodGet, "/v1/events"); w.Code != http.StatusUnauthorized {
		t.Errorf("without a token: status %d, want 401", w.Code)
	}
	if w := ask(h, http.MethodGet, "/v1/events", bearer("p-secret")); w.Code != http.StatusForbidden {
		t.Errorf("with the scope purge: status %d, want 403", w.Code)
	}
	w := ask(h, http.MethodHead, "/v1/events", bearer("r-secret"))
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "text/event-stream" || w.Body.Len() > 0 {
		t.Errorf("HEAD: status %d, %v, %d bytes", w.Code, w.Header(), w.Body.Len())
	}
	if n := e.followers(); n != 0 {
		t.Errorf("HEAD left %d followers", n)
	}
	e.Close() // a GET now ends at once
	if w := ask(h, http.MethodGet, "/v1/events", bearer("r-secret")); w.Code != http.StatusOK || w.Body.Len() > 0 {
		t.Errorf("GET: status %d, %d bytes", w.Code, w.Body.Len())
	}
}
