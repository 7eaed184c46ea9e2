package admin

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"weir/invalidation"
)

// purges is a PurgeSource that counts.
type purges struct {
	done []PurgeRequest
	who  invalidation.Who
}

func (p *purges) Purge(_ context.Context, who invalidation.Who, r *PurgeRequest, _ time.Duration) (PurgeResult, error) {
	p.done, p.who = append(p.done, *r), who
	return PurgeResult{ID: "n:1"}, nil
}

func (p *purges) Purges(after string, limit int) []PurgeRecord {
	return []PurgeRecord{{ID: after}, {ID: strings.Repeat("i", limit)}}
}

func (p *purges) LastPurges(n int) []PurgeRecord { return []PurgeRecord{{ID: strings.Repeat("n", n)}} }

func (p *purges) FindPurge(string) (PurgeRecord, PurgeResult, bool) {
	return PurgeRecord{}, PurgeResult{}, false
}

func newPurgeHandler(t *testing.T, tokens ...Token) (*Handler, *purges) {
	t.Helper()
	p, parts := &purges{}, goodParts()
	h, err := NewHandler(Options{Status: parts, Ready: parts, Metrics: parts, Purges: p, Tokens: tokens})
	if err != nil {
		t.Fatal(err)
	}
	return h, p
}

func post(h http.Handler, body string, edits ...func(*http.Request)) *httptest.ResponseRecorder {
	return ask(h, "POST", "/v1/purge", append([]func(*http.Request){func(r *http.Request) {
		r.Body = io.NopCloser(strings.NewReader(body))
	}}, edits...)...)
}

// TestOtherOrigins: a page of another origin changes nothing and reads nothing, with
// and without tokens; programs and people do as before.
func TestOtherOrigins(t *testing.T) {
	isJSON := header("Content-Type", "application/json")
	with := func(edits ...func(*http.Request)) []func(*http.Request) { return edits }
	for _, c := range []struct {
		name   string
		edits  []func(*http.Request)
		status int
	}{
		{"a program", with(isJSON), 200},
		{"with a charset", with(header("Content-Type", "Application/JSON; charset=utf-8")), 200},
		{"a page of the plane itself", with(isJSON, header("Sec-Fetch-Site", "same-origin"), header("Origin", "http://127.0.0.1:8081")), 200},
		{"text/plain", with(header("Content-Type", "text/plain")), 415},
		{"a form", with(header("Content-Type", "application/x-www-form-urlencoded")), 415},
		{"no type", nil, 415},
		{"two types", with(isJSON, header("Content-Type", "text/plain")), 415},
		{"JSON by name alone", with(header("Content-Type", "application/jsonx")), 415},
		{"cross-site", with(isJSON, header("Sec-Fetch-Site", "cross-site")), 403},
		{"same-site", with(isJSON, header("Sec-Fetch-Site", "same-site")), 403},
		{"a navigation that posts", with(isJSON, header("Sec-Fetch-Site", "cross-site"), header("Sec-Fetch-Mode", "navigate"), header("Sec-Fetch-Dest", "document")), 403},
		{"a foreign origin", with(isJSON, header("Origin", "http://evil.example")), 403},
		{"an opaque origin", with(isJSON, header("Origin", "null")), 403},
		{"another port", with(isJSON, header("Origin", "http://127.0.0.1:3000")), 403},
		{"a name that was pointed here", with(isJSON, host("evil.example:8081"), header("Origin", "http://evil.example:8081"), header("Sec-Fetch-Site", "same-origin")), 403},
	} {
		h, p := newPurgeHandler(t)
		if w := post(h, `{"all": true}`, c.edits...); w.Code != c.status || (len(p.done) == 1) != (c.status == 200) {
			t.Errorf("%s: status %d, want %d; %d purges", c.name, w.Code, c.status, len(p.done))
		}
		if strings.HasPrefix(c.name, "a name") {
			continue // a token stands in for the name
		}
		h, p = newPurgeHandler(t, testTokens()...)
		if w := post(h, `{"all": true}`, append(c.edits, bearer("p-secret"))...); w.Code != c.status || (len(p.done) == 1) != (c.status == 200) {
			t.Errorf("%s, with a token: status %d, want %d; %d purges", c.name, w.Code, c.status, len(p.done))
		}
	}
	h, _ := newPurgeHandler(t)
	for _, path := range []string{"/", "/metrics", "/v1/status", "/v1/purges", "/v1/events", "/v1/nothing"} {
		for _, edit := range []func(*http.Request){header("Sec-Fetch-Site", "cross-site"), header("Origin", "http://evil.example"), host("evil.example")} {
			if w := ask(h, "GET", path, edit); w.Code != 403 {
				t.Errorf("GET %s: status %d, want 403", path, w.Code)
			}
		}
	}
	link := []func(*http.Request){header("Sec-Fetch-Site", "cross-site"), header("Sec-Fetch-Mode", "navigate"), header("Sec-Fetch-Dest", "document")}
	if w := ask(h, "GET", "/", link...); w.Code != 200 {
		t.Errorf("a link to the plane: status %d, want 200", w.Code)
	}
	if w := ask(h, "GET", "/healthz", header("Sec-Fetch-Site", "cross-site")); w.Code != 200 {
		t.Errorf("health: status %d, want 200", w.Code)
	}
}

// TestPurgeScopes: what is missing is the scope that this very purge needs.
func TestPurgeScopes(t *testing.T) {
	isJSON := header("Content-Type", "application/json")
	for _, c := range []struct {
		secret, body string
		status       int
		want         string
	}{
		{"", `{"all": true}`, 401, "with scope purge\""},
		{"", `{"tags": ["a"]}`, 401, "with scope purge:tag\""},
		{"", `{"urls": ["/"]`, 401, "with scope purge:tag\""},
		{"wrong", `{"all": true}`, 401, "unknown token"},
		{"r-secret", `{"all": true}`, 403, "has no scope purge "},
		{"t-secret", `{"tags": ["a"], "hosts": ["h"]}`, 403, "has no scope purge "},
		{"t-secret", `{"tags": ["a"]}`, 200, ""},
		{"t-secret", `{"tag": ["a"]}`, 400, "unknown field"},
		{"p-secret", `{"all": true}`, 200, ""},
		{"p-secret", `{"urls": ["http://h/a"], "urls": ["http://h/b"]}`, 400, "urls: given twice"},
		{"p-secret", `{"all": false, "soft": true, "all": true}`, 400, "all: given twice"},
		{"p-secret", `{"tags": ["a"]}}`, 400, "something follows"},
		{"p-secret", `{"tags": ["a"]} {"all": true}`, 400, "something follows"},
	} {
		h, p := newPurgeHandler(t, testTokens()...)
		edits := []func(*http.Request){isJSON}
		if c.secret != "" {
			edits = append(edits, bearer(c.secret))
		}
		w := post(h, c.body, edits...)
		if w.Code != c.status || !strings.Contains(w.Body.String(), strings.ReplaceAll(c.want, "\\", "")) {
			t.Errorf("%q %s: %d %s, want %d %s", c.secret, c.body, w.Code, w.Body, c.status, c.want)
		}
		if c.status == 200 && (p.who.Token == "" || p.who.Address != "127.0.0.1") {
			t.Errorf("%q: who is %+v", c.secret, p.who)
		}
	}
}

func TestListOfPurges(t *testing.T) {
	h, _ := newPurgeHandler(t)
	for _, c := range []struct {
		query  string
		status int
		want   string
	}{
		{"", 200, `"iiii`},
		{"?after=x&limit=2", 200, `"ii"`},
		{"?last=3", 200, `"nnn"`},
		{"?last=0", 400, "last is"},
		{"?last=", 400, "last is"},
		{"?last=1001", 400, "1 to 1000"},
		{"?limit=-1", 400, "limit is"},
		{"?last=2&limit=2", 400, "cannot go with"},
		{"?last=2&after=x", 400, "cannot go with"},
		{"?newest=2", 400, "unknown"},
		{"?last=2&last=3", 400, "twice"},
	} {
		if w := ask(h, "GET", "/v1/purges"+c.query); w.Code != c.status || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s: %d %s", c.query, w.Code, w.Body)
		}
	}
}
