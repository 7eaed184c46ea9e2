package proxy

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"weir/origin"
	"weir/policy"
	"weir/proxy/front"
)

// One view of a request: of any two requests with one key, either of whose answers
// may be stored, the origin gets the same method, target and host, and the same
// lines of every field but those that policy.Differences lists. And whatever is
// sent on, stored or not, tells the origin no other host, scheme, path, method or
// client than weir vouches for.

// recorder is an origin that remembers the last request, and forbids storing.
type recorder struct{ last *origin.Request }

func (o *recorder) Do(_ context.Context, r *origin.Request) (*origin.Response, error) {
	if r.Body != nil {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return nil, err
		}
	}
	last := *r
	last.Fields = r.Fields.Clone() // those of the request are gone by the time that they are looked at
	o.last = &last
	return &origin.Response{
		Status: 200, Fields: policy.Fields{{Name: "Cache-Control", Value: "no-store"}, {Name: "Content-Type", Value: "text/css"}}, Body: http.NoBody,
	}, nil
}

var viewRules = []policy.Rule{
	{Name: "pass", Origin: "o", Pass: true, ShowKey: true, Match: policy.Match{Paths: []string{"/account", "/account/*"}}},
	{
		Name: "static", Origin: "o", ShowKey: true, Cookies: policy.CookiesStrip, Match: policy.Match{Paths: []string{"/static/*", "*.css"}},
		Key: policy.KeySpec{QueryIgnore: []string{"utm_*", "gclid"}, SortQuery: true, Cookies: []string{"theme", "currency"}},
	},
	{
		Name: "https", Origin: "o", ShowKey: true, Match: policy.Match{Headers: []policy.HeaderMatch{{Name: "X-Forwarded-Proto", Value: "https"}, {Name: "X-Beta"}}},
		Key: policy.KeySpec{Headers: []string{"X-Forwarded-Host", "X-Forwarded-Prefix", "X-Original-Url"}},
	},
	{
		Name: "keyed", Origin: "o", ShowKey: true, Underscores: []string{"api_key"}, Match: policy.Match{Hosts: []string{"keyed.example"}},
		Key: policy.KeySpec{QueryOnly: []string{"id"}, Headers: []string{"X-Tenant", "X-Forwarded-For", "X-Http-Method-Override", "Api_key", "User-Agent"}, Cookies: []string{"theme"}},
	},
	{Name: "rest", Origin: "o", ShowKey: true},
}

// viewRequest draws a request head from pools so small that keys come again.
func viewRequest(t *rapid.T) (raw string, trusted bool) {
	pick := func(name string, of ...string) string { return rapid.SampledFrom(of).Draw(t, name) }
	var b strings.Builder
	b.WriteString(pick("method", "GET", "GET", "GET", "GET", "GET", "HEAD", "DELETE") + " ")
	b.WriteString(pick("path", "/", "/a", "/%61", "/caf\xc3\xa9", "/caf%c3%a9", "/static/a", "/static/%61", "/static//a", "/x.css", "/x.%63ss",
		"/@s%2Fp", "/@s%2fp", "/static/..;/account", "/account", "//account", "/a;x", "/static/%2e%2e/a", "/%7e", "/~"))
	if rapid.Bool().Draw(t, "query") {
		pieces := rapid.SliceOfN(rapid.SampledFrom([]string{"id=1", "%69d=1", "utm_x=1", "utm_x=2", "utm%5fx=3", "gclid=7", "b=%7e", "b=~", "", "a;utm_x=1", "\xff"}), 0, 4)
		b.WriteString("?" + strings.Join(pieces.Draw(t, "pieces"), "&"))
	}
	b.WriteString(" HTTP/1.1\r\n" + pick("host name", "Host", "host", "HOST") + ": " + pick("host", "a.example", "A.example:80", "keyed.example", "a.example.") + "\r\n")
	for _, line := range rapid.SliceOfN(rapid.Custom(viewLine), 0, 6).Draw(t, "lines") {
		b.WriteString(line + "\r\n")
	}
	return b.String() + "\r\n", rapid.Bool().Draw(t, "trusted")
}

func viewLine(t *rapid.T) string {
	pool := viewLines[rapid.IntRange(0, len(viewLines)-1).Draw(t, "kind")]
	return rapid.SampledFrom(pool).Draw(t, "line")
}

// viewLines are field lines, by kind so that each kind is as likely.
var viewLines = [][]string{
	{"X-Tenant: red", "x-tenant: blue", "X-TENANT:red ", "X-Tenant:"},
	{"User-Agent: a", "user-agent: a", "User-Agent: b"},
	{"Accept-Language: de", "Accept-Encoding: gzip", "accept-encoding: br, gzip", "X-Beta: 1", "Referer: r"},
	{"Cookie: theme=dark; session=1", "Cookie: session=2;theme=dark", "cookie: currency=EUR; theme=dark", "Cookie: theme=dark; currency=EUR"},
	{"X-Forwarded-For: 192.0.2.1", "x-forwarded-for: 192.0.2.2, 10.1.1.1", "X-Forwarded-For: unknown"},
	{"X-Forwarded-Proto: https", "X-Forwarded-Proto: http", "x-forwarded-proto: http, https"},
	{"X-Forwarded-Host: evil.test", "X-Forwarded-Port: 81", "X-Forwarded-Prefix: /app", "X-Forwarded-Ssl: on", "X-Forwarded-Server: evil.test"},
	{`Forwarded: for=192.0.2.1;proto=https;host=evil.test`, `forwarded: for="[2001:db8::1]:1"`, "Forwarded: proto=https", "Forwarded: for=;;,\"", "Forwarded: for=192.0.2.2"},
	{"X-Original-URL: /admin", "X-Rewrite-Url: /admin", "X-Host: evil.test", "X-HTTP-Method-Override: PUT", "x-http-method: PUT"},
	{"Front-End-Https: on", "X-Scheme: https", "X-Url-Scheme: https", "Script-Name: /x", "CF-Visitor: {}", "Proxy: http://evil.test"},
	{"X-Real-IP: 192.0.2.1", "True-Client-IP: 192.0.2.9", "Client-IP: 192.0.2.9", "Via: 1.1 cdn", "via: 1.0 a"},
	{"X_Forwarded_For: 6.6.6.6", "X-Forwarded_Host: evil.test", "api_key: k", "API_KEY: l", "X.Original.URL: /", "Content_Length: 9"},
	{"Connection: close, X-Tenant", "Connection: X-Forwarded-For", "connection: Cookie, accept-language", "Connection: keep-alive", "TE: trailers", "Upgrade: h2c"},
	{"Authorization: Basic YTpi", "Range: bytes=0-1", "If-None-Match: \"a\"", "Cache-Control: no-cache", "Pragma: no-cache", "If-Modified-Since: Sun, 22 Nov 2026 08:00:00 GMT"},
	{"Host: b.example", "X-Bad : 1", "User-Agent: c", "Content-Length abc: 4"},
}

// viewer sends requests and compares what the origin gets.
type viewer struct {
	p      *Proxy
	origin *recorder
	byKey  map[string]*origin.Request
	// plant changes what the origin got, as a fault would.
	plant    func(raw string, r *origin.Request)
	compared int
}

// send sends one request and says what is wrong with what the origin got.
func (v *viewer) send(raw string, trusted bool) error {
	addr := net.IPv4(192, 0, 2, 66)
	if trusted {
		addr = net.IPv4(10, 0, 0, 1)
	}
	rec, err := front.NewRecorder(raw, &net.TCPAddr{IP: addr, Port: 4711})
	if err != nil {
		return nil // it is refused before it comes here
	}
	v.origin.last = nil
	v.p.handle(rec)
	status := rec.Sent("Cache-Status")
	if err := rec.WriteBody(io.Discard); err != nil {
		return err
	}
	got := v.origin.last
	if got == nil {
		if rec.Code() < 400 {
			return fmt.Errorf("status %d without asking the origin: %s", rec.Code(), status)
		}
		return nil
	}
	if v.plant != nil {
		v.plant(raw, got)
	}
	if err := v.vouched(got, trusted); err != nil {
		return err
	}
	_, key, hasKey := strings.Cut(status, "; key=")
	if !hasKey {
		return nil // passed on: neither stored nor answered from what is
	}
	key, _, _ = strings.Cut(key, `"; detail=`)
	if first := v.byKey[key]; first != nil {
		v.compared++
		return alike(key, first, got)
	}
	v.byKey[key] = got
	return nil
}

// vouched holds what the origin got, stored or not, against what weir promises of
// every request.
func (v *viewer) vouched(r *origin.Request, trusted bool) error {
	proto := r.Fields.Get("X-Forwarded-Proto")
	if proto != "http" && proto != "https" || !trusted && proto != "http" {
		return fmt.Errorf("X-Forwarded-Proto is %q", proto)
	}
	host := r.Fields.Get("X-Forwarded-Host")
	if !trusted && host != r.Host {
		return fmt.Errorf("X-Forwarded-Host is %q, the host %q", host, r.Host)
	}
	forwarded := strings.ReplaceAll(r.Fields.Get("Forwarded"), "\"", "")
	if n := strings.Count(forwarded, "proto="); n != strings.Count(forwarded, "proto="+proto) || n != strings.Count(forwarded, "for=") {
		return fmt.Errorf("Forwarded is %q beside %s", forwarded, proto)
	}
	if strings.Count(forwarded, "host=") != 1 || !strings.HasSuffix(forwarded, ";host="+host+";proto="+proto) {
		return fmt.Errorf("Forwarded is %q beside host %q", forwarded, host)
	}
	if chain := r.Fields.Get("X-Forwarded-For"); strings.Count(chain, ",") != strings.Count(forwarded, ",") || !trusted && chain != "192.0.2.66" {
		return fmt.Errorf("X-Forwarded-For is %q beside %q", chain, forwarded)
	}
	for _, f := range r.Fields {
		name := f.Name
		standing := policy.StandingOf(name)
		switch {
		case name != "Api_key" && strings.ContainsAny(name, "_.~ "):
			return fmt.Errorf("%s reaches the origin", name)
		case standing == policy.StandingHop, standing == policy.StandingNever:
			return fmt.Errorf("%s reaches the origin", name)
		case trusted || name == "X-Http-Method-Override":
		case standing != policy.StandingOrdinary && standing != policy.StandingMade:
			return fmt.Errorf("%s, which is %s, reaches the origin from anybody", name, standing)
		}
	}
	return nil
}

// alike compares what the origin got of two requests with one key.
func alike(key string, a, b *origin.Request) error {
	if asked(a) != asked(b) || a.Target != b.Target || a.Host != b.Host {
		return fmt.Errorf("key %s: %s %s at %s, and %s %s at %s", key, a.Method, a.Target, a.Host, b.Method, b.Target, b.Host)
	}
	for _, f := range a.Fields {
		name := f.Name
		if !policy.MayDiffer(name) && !slices.Equal(a.Fields.Values(name), b.Fields.Values(name)) {
			return fmt.Errorf("key %s: %s is %q, and %q", key, name, a.Fields.Values(name), b.Fields.Values(name))
		}
	}
	for _, f := range b.Fields {
		name := f.Name
		if !policy.MayDiffer(name) && !a.Fields.Has(name) {
			return fmt.Errorf("key %s: %s is absent, and %q", key, name, b.Fields.Values(name))
		}
	}
	if !underKeyed(key) {
		return nil
	}
	for _, name := range []string{"X-Tenant", "User-Agent", "X-Forwarded-For", "X-Http-Method-Override", "Api_key"} {
		if !slices.Equal(a.Fields.Values(name), b.Fields.Values(name)) {
			return fmt.Errorf("key %s: %s is %q, and %q", key, name, a.Fields.Values(name), b.Fields.Values(name))
		}
	}
	return nil
}

// asked is the method, but for HEAD, which is answered from what GET stored.
func asked(r *origin.Request) string {
	if r.Method == "HEAD" {
		return "GET"
	}
	return r.Method
}

// underKeyed reports whether a key is one of the rule that is named so.
func underKeyed(key string) bool {
	return strings.Contains(key, "//keyed.example/") && !strings.Contains(key, "/static/") && !strings.Contains(key, ".css") && !strings.Contains(key, " p:")
}

func newViewer(t testing.TB) *viewer {
	v := &viewer{origin: &recorder{}, byKey: make(map[string]*origin.Request)}
	b := newBench(t, Options{}, "", v.origin, viewRules...)
	cfg := *b.p.Config()
	cfg.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	if err := b.p.SetConfig(&cfg); err != nil {
		t.Fatal(err)
	}
	v.p = b.p
	return v
}

// requestsEach is how many requests one check of rapid sends: there are a hundred.
func requestsEach() int {
	if raceEnabled {
		return 200
	}
	return 1000
}

func TestOneViewOfARequest(t *testing.T) {
	v := newViewer(t)
	rapid.Check(t, func(t *rapid.T) {
		clear(v.byKey)
		for range requestsEach() {
			raw, trusted := viewRequest(t)
			if err := v.send(raw, trusted); err != nil {
				t.Fatalf("%v\nthe last request, from a trusted sender %t:\n%s", err, trusted, raw)
			}
		}
	})
	if v.compared < 20*requestsEach() {
		t.Errorf("only %d pairs of requests with one key were compared", v.compared)
	}
}

func planted(r *origin.Request, name, value string) {
	r.Fields = append(slices.Clone(r.Fields).Without(name), policy.Field{Name: name, Value: value})
}

// Faults as they were once, which the test must find.
func TestOneViewFindsPlantedFaults(t *testing.T) {
	for name, plant := range map[string]func(raw string, r *origin.Request){
		"the target as it was sent": func(raw string, r *origin.Request) { r.Target = strings.Split(raw, " ")[1] },
		"X-Forwarded-Port from anybody": func(raw string, r *origin.Request) {
			if strings.Contains(raw, "X-Forwarded-Port: 81") {
				planted(r, "X-Forwarded-Port", "81")
			}
		},
		"the host that a trusted sender names": func(raw string, r *origin.Request) {
			if strings.Contains(raw, "X-Forwarded-Host: evil.test") && r.Fields.Get("X-Forwarded-For") != "192.0.2.66" {
				planted(r, "X-Forwarded-Host", "evil.test")
			}
		},
		"a field that Connection names": func(raw string, r *origin.Request) {
			if strings.Count(strings.ToLower(raw), "connection:") > 0 && !r.Fields.Has("X-Tenant") {
				planted(r, "X-Tenant", "red")
			}
		},
		"a field with an underscore": func(raw string, r *origin.Request) {
			if strings.Contains(raw, "X_Forwarded_For") {
				planted(r, "X_forwarded_for", "6.6.6.6")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			v := newViewer(t)
			v.plant = plant
			gen := rapid.Custom(func(t *rapid.T) [2]string {
				raw, trusted := viewRequest(t)
				return [2]string{raw, fmt.Sprint(trusted)}
			})
			for i := range 20_000 {
				r := gen.Example(i)
				if v.send(r[0], r[1] == "true") != nil {
					return
				}
			}
			t.Error("20,000 requests went by, and nothing was found")
		})
	}
}
