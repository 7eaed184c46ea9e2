package admin

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// parts is what the handler shows, each as a function.
type parts struct {
	status  func() any
	ready   func() error
	metrics func(io.Writer) error
}

func (p parts) Status() any                    { return p.status() }
func (p parts) Ready() error                   { return p.ready() }
func (p parts) WriteMetrics(w io.Writer) error { return p.metrics(w) }

func goodParts() parts {
	return parts{
		status: func() any { return Status{Version: "1.2.3", Node: "edge-1", Ready: true} },
		ready:  func() error { return nil },
		metrics: func(w io.Writer) error {
			_, err := io.WriteString(w, "# TYPE weir_x gauge\nweir_x 1\n")
			return err
		},
	}
}

func sum(secret string) string {
	s := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(s[:])
}

func testTokens() []Token {
	return []Token{
		{Name: "reader", SHA256: sum("r-secret"), Scopes: []string{"read"}},
		{Name: "purger", SHA256: strings.ToUpper(sum("p-secret")), Scopes: []string{"purge"}},
		{Name: "tagger", SHA256: sum("t-secret"), Scopes: []string{"purge:tag", "read"}},
	}
}

func newHandler(t *testing.T, p parts, tokens ...Token) *Handler {
	t.Helper()
	h, err := NewHandler(Options{Status: p, Ready: p, Metrics: p, Tokens: tokens})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// ask sends a request as a local client would, changed by edits.
func ask(h http.Handler, method, path string, edits ...func(*http.Request)) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, path, nil)
	req.Host, req.RemoteAddr = "127.0.0.1:8081", "127.0.0.1:50000"
	for _, edit := range edits {
		edit(req)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	return w
}

func bearer(secret string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Add("Authorization", "Bearer "+secret) }
}

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Add(name, value) }
}

func host(h string) func(*http.Request) { return func(r *http.Request) { r.Host = h } }
func peer(a string) func(*http.Request) { return func(r *http.Request) { r.RemoteAddr = a } }

func TestRoutes(t *testing.T) {
	notReady := goodParts()
	notReady.ready = func() error { return errors.New("disk tier is opening") }
	noMetrics := goodParts()
	noMetrics.metrics = func(io.Writer) error { return errors.New("no page") }
	badStatus := goodParts()
	badStatus.status = func() any { return map[string]float64{"nan": math.NaN()} }
	for _, c := range []struct {
		name, method, path string
		parts              parts
		status             int
		contentType, body  string
	}{
		{"health", "GET", "/healthz", goodParts(), 200, "text/plain; charset=utf-8", "ok\n"},
		{"ready", "GET", "/readyz", goodParts(), 200, "text/plain; charset=utf-8", "ready\n"},
		{"not ready", "GET", "/readyz", notReady, 503, "text/plain; charset=utf-8", "not ready: disk tier is opening\n"},
		{"metrics", "GET", "/metrics", goodParts(), 200, "text/plain; version=0.0.4; charset=utf-8", "# TYPE weir_x gauge\nweir_x 1\n"},
		{"metrics that fail", "GET", "/metrics", noMetrics, 500, "application/json", `"no page"`},
		{"status", "GET", "/v1/status?x=1", goodParts(), 200, "application/json", `"node": "edge-1"`},
		{"status that cannot be encoded", "GET", "/v1/status", badStatus, 500, "application/json", "cannot encode"},
		{"index", "GET", "/", goodParts(), 200, "text/plain; charset=utf-8", "GET /v1/status"},
		{"unknown", "GET", "/v1/nothing", goodParts(), 404, "application/json", `"GET /readyz"`},
		{"unknown below a known one", "GET", "/healthz/", goodParts(), 404, "application/json", "no such resource"},
		{"wrong method", "POST", "/v1/status", goodParts(), 405, "application/json", "GET or HEAD"},
		{"wrong method on an open route", "DELETE", "/healthz", goodParts(), 405, "application/json", "GET or HEAD"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := ask(newHandler(t, c.parts), c.method, c.path)
			if w.Code != c.status || w.Header().Get("Content-Type") != c.contentType || !strings.Contains(w.Body.String(), c.body) {
				t.Errorf("%d %q %s\nwant %d %q with %s", w.Code, w.Header().Get("Content-Type"), w.Body, c.status, c.contentType, c.body)
			}
			if c.contentType == "application/json" && !json.Valid(w.Body.Bytes()) {
				t.Errorf("not JSON: %s", w.Body)
			}
			if allow := w.Header().Get("Allow"); (c.status == 405) != (allow == "GET, HEAD") {
				t.Errorf("Allow: %q with status %d", allow, w.Code)
			}
			if w.Header().Get("Cache-Control") != "no-store" {
				t.Error("the answer may be stored")
			}
		})
	}
}

func TestAccess(t *testing.T) {
	open, tokens := newHandler(t, goodParts()), newHandler(t, goodParts(), testTokens()...)
	remote := peer("192.0.2.1:999")
	for _, c := range []struct {
		name   string
		h      *Handler
		path   string
		edits  []func(*http.Request)
		status int
		body   string
	}{
		{"local", open, "/metrics", nil, 200, ""},
		{"local by name", open, "/metrics", []func(*http.Request){host("LocalHost.:8081")}, 200, ""},
		{"local by name without port", open, "/metrics", []func(*http.Request){host("localhost")}, 200, ""},
		{"local IPv6", open, "/metrics", []func(*http.Request){host("[::1]:8081"), peer("[::1]:5")}, 200, ""},
		{"local IPv6 without port", open, "/metrics", []func(*http.Request){host("[::1]")}, 200, ""},
		{"local IPv4 in IPv6", open, "/metrics", []func(*http.Request){peer("[::ffff:127.0.0.1]:5")}, 200, ""},
		{"another loopback address", open, "/metrics", []func(*http.Request){host("127.1.2.3"), peer("127.9.9.9:5")}, 200, ""},
		{"remote", open, "/metrics", []func(*http.Request){remote}, 403, "not on this machine"},
		{"remote on the index", open, "/", []func(*http.Request){remote}, 403, "admin.tokens"},
		{"remote on an unknown path", open, "/x", []func(*http.Request){remote}, 403, ""},
		{"remote on health", open, "/healthz", []func(*http.Request){remote}, 200, ""},
		{"remote on readiness", open, "/readyz", []func(*http.Request){remote}, 200, ""},
		{"no peer address", open, "/metrics", []func(*http.Request){peer("@")}, 403, ""},
		{"rebound name", open, "/metrics", []func(*http.Request){host("evil.example:8081")}, 403, "Host header"},
		{"name that begins like an address", open, "/metrics", []func(*http.Request){host("127.0.0.1.evil.example")}, 403, "Host header"},
		{"name under localhost", open, "/metrics", []func(*http.Request){host("x.localhost")}, 403, "Host header"},
		{"no host", open, "/metrics", []func(*http.Request){host("")}, 403, "Host header"},
		{"unspecified address", open, "/metrics", []func(*http.Request){host("0.0.0.0:8081")}, 403, "Host header"},
		{"through a local proxy", open, "/v1/status", []func(*http.Request){header("X-Forwarded-For", "192.0.2.9")}, 403, "X-Forwarded-For"},

		{"token", tokens, "/metrics", []func(*http.Request){remote, bearer("r-secret")}, 200, ""},
		{"token with a scheme in capitals", tokens, "/metrics", []func(*http.Request){header("Authorization", "BEARER  r-secret ")}, 200, ""},
		{"second scope", tokens, "/v1/status", []func(*http.Request){bearer("t-secret")}, 200, ""},
		{"any host", tokens, "/v1/status", []func(*http.Request){bearer("r-secret"), host("weir.example")}, 200, ""},
		{"no token", tokens, "/metrics", nil, 401, "Bearer <token>"},
		{"no token, health", tokens, "/healthz", []func(*http.Request){remote, host("x")}, 200, ""},
		{"no token, index", tokens, "/", []func(*http.Request){remote}, 200, "token with scope read"},
		{"no token, unknown", tokens, "/x", []func(*http.Request){remote}, 404, "/healthz"},
		{"unknown token", tokens, "/metrics", []func(*http.Request){bearer("x")}, 401, "unknown token"},
		{"the hash itself", tokens, "/metrics", []func(*http.Request){bearer(sum("r-secret"))}, 401, "unknown token"},
		{"empty token", tokens, "/metrics", []func(*http.Request){bearer("")}, 401, "unknown token"},
		{"two tokens", tokens, "/metrics", []func(*http.Request){bearer("r-secret"), bearer("t-secret")}, 401, "one header"},
		{"basic", tokens, "/metrics", []func(*http.Request){header("Authorization", "Basic r-secret")}, 401, "one bearer"},
		{"scope is missing", tokens, "/metrics", []func(*http.Request){bearer("p-secret")}, 403, `no scope read (it has: purge)`},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := ask(c.h, "GET", c.path, c.edits...)
			if w.Code != c.status || !strings.Contains(w.Body.String(), c.body) {
				t.Errorf("%d %s\nwant %d with %s", w.Code, w.Body, c.status, c.body)
			}
			if challenge := w.Header().Get("WWW-Authenticate"); (c.status == 401) != strings.HasPrefix(challenge, "Bearer") {
				t.Errorf("WWW-Authenticate: %q with status %d", challenge, w.Code)
			}
			if strings.Contains(w.Body.String(), "secret") {
				t.Errorf("the answer repeats a secret: %s", w.Body)
			}
		})
	}
}

func TestReadinessKeepsItsReasonFromStrangers(t *testing.T) {
	p := goodParts()
	p.ready = func() error { return errors.New("cannot open /srv/disk") }
	h := newHandler(t, p, testTokens()...)
	if w := ask(h, "GET", "/readyz"); w.Code != 503 || w.Body.String() != "not ready\n" {
		t.Errorf("without a token %d %q", w.Code, w.Body)
	}
	if w := ask(h, "GET", "/readyz", bearer("r-secret")); w.Code != 503 || !strings.Contains(w.Body.String(), "/srv/disk") {
		t.Errorf("with a token %d %q", w.Code, w.Body)
	}
}

func TestStatusJSON(t *testing.T) {
	p := goodParts()
	p.status = func() any {
		return Status{
			Version: "1.2.3", UptimeSeconds: 61, Node: "edge-1", Ready: true, Policies: 2,
			Tiers:  []TierStatus{{Name: "ram", Up: true, Bytes: 5, Capacity: 10, Objects: 1}, {Name: "disk", Error: "disk <full>"}},
			Config: ConfigStatus{Path: "weir.yaml", LoadedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)},
		}
	}
	want := `{"version":"1.2.3","uptime_seconds":61,"node":"edge-1","ready":true,"tiers":[` +
		`{"name":"ram","up":true,"bytes":5,"capacity":10,"objects":1},` +
		`{"name":"disk","up":false,"bytes":0,"capacity":0,"objects":0,"error":"disk <full>"}],"origins":[],"policies":2,` +
		`"config":{"path":"weir.yaml","loaded_at":"2026-01-02T03:04:05Z","last_error":""},"peers":[],"purges":{"epoch":0,"scopes":0,"floor":0,"last":""},"in_flight":{"bytes":0,"limit":0}}`
	got := strings.ReplaceAll(ask(newHandler(t, p), "GET", "/v1/status").Body.String(), "\n", "")
	got = strings.ReplaceAll(got, `": `, `":`)
	got = strings.Join(strings.Split(got, "  "), "")
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestTokenFaultsAreAllNamedAndChangeNothing(t *testing.T) {
	h := newHandler(t, goodParts(), testTokens()...)
	err := h.SetTokens([]Token{
		{Name: "", SHA256: "xyz"},
		{Name: "a", SHA256: sum("1"), Scopes: []string{"read", "write"}},
		{Name: "b", SHA256: sum("2"), Scopes: []string{"read"}},
		{Name: "b", SHA256: sum("2"), Scopes: []string{"read"}},
		{Name: "e", SHA256: sum(""), Scopes: []string{"read"}},
	})
	if err == nil {
		t.Fatal("faulty tokens were accepted")
	}
	for _, want := range []string{
		`token 1 ("")`, "no name", "64 hexadecimal digits", "no scopes (known: read, purge, purge:tag)",
		`token 2 ("a"): unknown scope "write"`, `token 4 ("b"): the name is taken`, `the same secret as "b"`, "empty token",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in: %v", want, err)
		}
	}
	if w := ask(h, "GET", "/metrics", bearer("r-secret")); w.Code != 200 {
		t.Errorf("the old tokens no longer work: %d", w.Code)
	}
	if _, err := NewHandler(Options{Tokens: []Token{{}}}); err == nil {
		t.Error("NewHandler accepted a faulty token")
	}
}

func TestTokensAreReplacedWhileRequestsRun(t *testing.T) {
	h := newHandler(t, goodParts(), testTokens()...)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				if w := ask(h, "GET", "/metrics", bearer("r-secret")); !slices.Contains([]int{200, 401}, w.Code) {
					t.Errorf("status %d", w.Code)
				}
			}
		})
	}
	for i := range 50 {
		if err := h.SetTokens(testTokens()[i%2:]); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
	if err := h.SetTokens(nil); err != nil {
		t.Fatal(err)
	}
	if w := ask(h, "GET", "/metrics"); w.Code != 200 {
		t.Errorf("local without tokens: %d", w.Code)
	}
}

func TestScopes(t *testing.T) {
	for name, want := range map[string][numScopes]bool{
		"read":      {ScopeRead: true},
		"purge":     {ScopePurge: true, ScopePurgeTag: true},
		"purge:tag": {ScopePurgeTag: true},
	} {
		c, err := Token{Name: "x", SHA256: sum("x"), Scopes: []string{name}}.check()
		if err != nil {
			t.Fatal(err)
		}
		for s := range numScopes {
			if got := c.allows(s); got != want[s] {
				t.Errorf("a token with %s allows %v: %v", name, s, got)
			}
		}
	}
	if got := numScopes.String(); got != "Scope(3)" {
		t.Errorf("unknown scope prints %s", got)
	}
}

func FuzzAccessWithoutTokens(f *testing.F) {
	for _, s := range []string{"localhost:1", "[::1]", "127.0.0.1", "::1", "[::1%lo]:80", "[localhost]", "a:b:c", "127.0.0.1:evil.example"} {
		f.Add(s, "127.0.0.1:1")
	}
	p := goodParts()
	h, err := NewHandler(Options{Status: p, Ready: p, Metrics: p})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, hostHeader, remote string) {
		w := ask(h, "GET", "/metrics", host(hostHeader), peer(remote))
		lower := strings.ToLower(hostHeader)
		looksLocal := strings.Contains(lower, "localhost") || strings.Contains(lower, "127.") || strings.Contains(lower, ":1") || strings.Contains(lower, ":0")
		if w.Code == 200 && !looksLocal {
			t.Fatalf("Host %q from %q was answered", hostHeader, remote)
		}
		if w.Code != 200 && w.Code != 403 {
			t.Fatalf("status %d", w.Code)
		}
	})
}
