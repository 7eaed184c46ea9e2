package policy

import (
	"slices"
	"testing"
	"time"
)

// stored is one row: an answer of the origin, and what becomes of it.
type stored struct {
	name   string
	rule   Rule
	method string
	client []string // fields of the request that caused the answer
	status int      // 0 is 200
	fields []string
	reason Reason
	after  int64 // seconds later ...
	later  []string
	use    Use // ... this is what a request with the fields of later gets
}

func (row *stored) run(t *testing.T) {
	t.Helper()
	q := get(row.client...)
	if row.method != "" {
		q.Method = row.method
	}
	if row.status == 0 {
		row.status = 200
	}
	s := Decide(&row.rule, q, answer(row.status, row.fields...))
	if s.Reason != row.reason {
		t.Fatalf("reason %v, want %v", s.Reason, row.reason)
	}
	if s.Reason != ReasonNone {
		return
	}
	a := NewAsker(&row.rule, get(row.later...))
	if use := s.Freshness.Reusable(&a, OnRequest, t0+row.after*second); use != row.use {
		t.Fatalf("use after %d s: %v, want %v (%+v)", row.after, use, row.use, s.Freshness)
	}
}

func runStored(t *testing.T, rows []stored) {
	t.Helper()
	for _, row := range rows {
		t.Run(row.name, row.run)
	}
}

func TestExplicitLifetime(t *testing.T) {
	runStored(t, []stored{
		{name: "9111 4.2.1 max-age", fields: []string{"Cache-Control: max-age=10"}, after: 9},
		{name: "9111 4.2.1 max-age over", fields: []string{"Cache-Control: max-age=10", `ETag: "a"`}, after: 10, use: UseRevalidate},
		{name: "9111 4.2.1 max-age of 0", fields: []string{"Cache-Control: max-age=0"}, reason: ReasonExpired},
		{name: "9111 1.2.2 2^31-1", fields: []string{"Cache-Control: max-age=2147483647"}, after: 1e9},
		{name: "9111 1.2.2 2^31", fields: []string{"Cache-Control: max-age=2147483648"}, after: 1e9},
		{name: "9111 1.2.2 beyond 64 bits", fields: []string{"Cache-Control: max-age=99999999999999999999999"}, after: 1e9},
		{name: "9111 5.2 names in any case", fields: []string{"Cache-Control: MaX-aGe=10"}, after: 9},
		{name: "9111 5.2.3 unknown directives", fields: []string{`Cache-Control: foo, bar="x, no-store", max-age=10`}, after: 9},
		{name: "8246 immutable means nothing here", fields: []string{"Cache-Control: max-age=10, immutable", `ETag: "a"`}, after: 11, use: UseRevalidate},
		{name: "9111 5.2.2.10 s-maxage wins, longer", fields: []string{"Cache-Control: max-age=1, s-maxage=10"}, after: 9},
		{name: "9111 5.2.2.10 s-maxage wins, shorter", fields: []string{"Cache-Control: s-maxage=1", "Cache-Control: max-age=10", `ETag: "a"`}, after: 2, use: UseRevalidate},
		{name: "9111 5.3 Expires", fields: []string{"Date: @0", "Expires: @10"}, after: 9},
		{name: "9111 5.3 Expires over", fields: []string{"Date: @0", "Expires: @10", `ETag: "a"`}, after: 10, use: UseRevalidate},
		{name: "9111 5.3 max-age wins over Expires", fields: []string{"Date: @0", "Expires: @-10", "Cache-Control: max-age=10"}, after: 9},
		{name: "9111 5.3 max-age of 0 wins over Expires", fields: []string{"Date: @0", "Expires: @10", "Cache-Control: max-age=0"}, reason: ReasonExpired},
		{name: "9111 5.3 Expires in the past", fields: []string{"Date: @0", "Expires: @-10"}, reason: ReasonExpired},
		{name: "9111 5.3 Expires now", fields: []string{"Date: @0", "Expires: @0"}, reason: ReasonExpired},
		{name: "9111 5.3 Expires before a fast Date", fields: []string{"Date: @400", "Expires: @300"}, reason: ReasonExpired},
		{name: "9111 5.3 Expires of 0", fields: []string{"Date: @0", "Expires: 0"}, reason: ReasonExpired},
		{name: "9111 5.3 Expires, no Date", fields: []string{"Expires: @10"}, after: 9},
		{name: "9110 6.6.1 Expires, invalid Date", fields: []string{"Date: foo", "Expires: @10"}, after: 9},
		{name: "9111 4.2.1 two Expires that differ", fields: []string{"Date: @0", "Expires: @10", "Expires: @20"}, reason: ReasonExpired},
		{name: "9111 4.2.1 two Expires alike", fields: []string{"Date: @0", "Expires: @10", "Expires: @10"}, after: 9},
	})
}

func TestDoubtfulDirectives(t *testing.T) {
	runStored(t, []stored{
		{name: "9111 4.2.1 two max-age that differ", fields: []string{"Cache-Control: max-age=1800, max-age=10"}, reason: ReasonExpired},
		{name: "9111 4.2.1 two max-age on two lines", fields: []string{"Cache-Control: max-age=10", "Cache-Control: max-age=1800"}, reason: ReasonExpired},
		{name: "9111 4.2.1 two max-age alike", fields: []string{"Cache-Control: max-age=10, max-age=010"}, after: 9},
		{name: "9111 5.2 quoted argument", fields: []string{`Cache-Control: max-age="10"`}, after: 9},
		{name: "9111 5.2 directive within a quoted string", fields: []string{`Cache-Control: ext="max-age=1000", max-age=1`, `ETag: "a"`}, after: 2, use: UseRevalidate},
		{name: "9111 5.2 directive within a quoted string, behind", fields: []string{`Cache-Control: max-age=1, ext="a\", max-age=1000"`, `ETag: "a"`}, after: 2, use: UseRevalidate},
		{name: "9111 5.2 a quote that never closes hides nothing", fields: []string{`Cache-Control: max-age=10, ext="a, no-store`}, reason: ReasonNoStore},
		{name: "9111 4.2.1 single quotes", fields: []string{"Cache-Control: max-age='10'"}, reason: ReasonExpired},
		{name: "9111 4.2.1 negative", fields: []string{"Cache-Control: max-age=-10"}, reason: ReasonExpired},
		{name: "9111 4.2.1 decimals", fields: []string{"Cache-Control: max-age=10.0"}, reason: ReasonExpired},
		{name: "9111 4.2.1 letters before", fields: []string{"Cache-Control: max-age=a10"}, reason: ReasonExpired},
		{name: "9111 4.2.1 letters behind", fields: []string{"Cache-Control: max-age=10a"}, reason: ReasonExpired},
		{name: "9111 4.2.1 no argument", fields: []string{"Cache-Control: max-age"}, reason: ReasonExpired},
		{name: "9111 4.2.1 empty argument", fields: []string{"Cache-Control: max-age="}, reason: ReasonExpired},
		{name: "9111 5.2 space before =", fields: []string{"Cache-Control: max-age =10"}, reason: ReasonExpired},
		{name: "9111 5.2 space behind =", fields: []string{"Cache-Control: max-age= 10"}, reason: ReasonExpired},
		{name: "9111 1.2.2 leading zeros", fields: []string{"Cache-Control: max-age=0010"}, after: 9},
		{name: "9110 5.6.1 empty members", fields: []string{"Cache-Control: , ,max-age=10,,"}, after: 9},
		{name: "9111 4.2.1 unreadable s-maxage does not fall back", fields: []string{"Cache-Control: max-age=10, s-maxage=x"}, reason: ReasonExpired},
	})
}

func TestForbiddenToStore(t *testing.T) {
	fresh := "Cache-Control: max-age=10"
	runStored(t, []stored{
		{name: "9111 5.2.2.5 no-store", fields: []string{"Cache-Control: no-store, max-age=10"}, reason: ReasonNoStore},
		{name: "9111 5.2.2.5 no-store in any case", fields: []string{fresh, "Cache-Control: No-StOrE"}, reason: ReasonNoStore},
		{name: "9111 5.2.2.7 private", fields: []string{"Cache-Control: private, max-age=10"}, reason: ReasonPrivate},
		{name: "9111 5.2.2.7 private with a list", fields: []string{`Cache-Control: private="set-cookie", max-age=10`, "Set-Cookie: a=b"}, after: 9},
		{name: "9111 5.2.2.7 private with a broken list", fields: []string{`Cache-Control: max-age=10, private="a`}, reason: ReasonPrivate},
		{name: "9111 5.2.2.7 private with an empty list", fields: []string{`Cache-Control: max-age=10, private=""`}, reason: ReasonPrivate},
		{name: "9111 5.2.2.7 private with a list that is none", fields: []string{`Cache-Control: max-age=10, private="a b"`}, reason: ReasonPrivate},
		{name: "no-cache without its comma", fields: []string{"Cache-Control: max-age=10, must-revalidate no-cache", `ETag: "a"`}, after: 1, use: UseRevalidate},
		{name: "private in a quoted string", fields: []string{`Cache-Control: max-age=10, x="private; no-store"`}, after: 9},
		{name: "9111 5.2.2.7 private that names what storing needs", fields: []string{`Cache-Control: max-age=10, private="vary"`}, reason: ReasonPrivate},
		{name: "9111 5.2.1.5 no-store in the request", client: []string{"Cache-Control: no-store"}, fields: []string{fresh}, reason: ReasonRequestNoStore},
		{name: "no-store in the request, ignored", rule: Rule{IgnoreClient: true}, client: []string{"Cache-Control: no-store"}, fields: []string{fresh}, after: 9},
		{name: "9111 5.2.2.3 must-understand, understood", fields: []string{"Cache-Control: max-age=10, no-store, must-understand"}, after: 9},
		{name: "9111 5.2.2.3 must-understand, not understood", status: 599, fields: []string{"Cache-Control: max-age=10, no-store, must-understand"}, reason: ReasonStatus},
		{name: "9111 5.2.2.3 must-understand alone, not understood", status: 299, fields: []string{"Cache-Control: max-age=10, must-understand"}, reason: ReasonStatus},
		{name: "9111 3 a pass rule", rule: Rule{Pass: true}, fields: []string{fresh}, reason: ReasonPolicy},
		{name: "9111 3 HEAD", method: "HEAD", fields: []string{fresh}, reason: ReasonMethod},
		{name: "9110 9.3.4 PUT", method: "PUT", fields: []string{fresh, "Content-Location: /p?q"}, reason: ReasonMethod},
		{name: "9110 9.3.3 POST", method: "POST", fields: []string{fresh}, reason: ReasonMethod},
		{name: "9110 9.3.3 POST with its Content-Location", method: "POST", fields: []string{fresh, "Content-Location: http://A.example:80/p?q"}, after: 9},
		{name: "9110 9.3.3 POST, relative Content-Location", method: "POST", fields: []string{fresh, "Content-Location: p?q"}, after: 9},
		{name: "9110 9.3.3 POST with another Content-Location", method: "POST", fields: []string{fresh, "Content-Location: /p"}, reason: ReasonMethod},
		{name: "9110 9.3.3 POST without explicit freshness", method: "POST", fields: []string{"Content-Location: /p?q", "Last-Modified: @-100000"}, reason: ReasonMethod},
		{name: "9111 3.5 Authorization", client: []string{"Authorization: x"}, fields: []string{fresh}, reason: ReasonAuthorization},
		{name: "9111 3.5 Authorization, public", client: []string{"Authorization: x"}, fields: []string{fresh, "Cache-Control: public"}, after: 9},
		{name: "9111 3.5 Authorization, must-revalidate", client: []string{"Authorization: x"}, fields: []string{fresh, "Cache-Control: must-revalidate"}, after: 9},
		{name: "9111 3.5 Authorization, s-maxage", client: []string{"Authorization: x"}, fields: []string{"Cache-Control: s-maxage=10"}, after: 9},
		{name: "9111 3.5 Authorization, unreadable s-maxage", client: []string{"Authorization: x"}, fields: []string{"Cache-Control: s-maxage=x", `ETag: "a"`}, reason: ReasonAuthorization},
		{name: "9111 3.5 Authorization, proxy-revalidate", client: []string{"Authorization: x"}, fields: []string{fresh, "Cache-Control: proxy-revalidate"}, reason: ReasonAuthorization},
		{name: "9111 4.1 Vary: *", fields: []string{fresh, "Vary: a, *"}, reason: ReasonVaryStar},
		{name: "9111 4.1 malformed Vary", fields: []string{fresh, "Vary: a b"}, reason: ReasonMalformed},
	})
}

func TestStatusCodes(t *testing.T) {
	fresh := []string{"Cache-Control: max-age=10"}
	never := []int{100, 103, 199, 206, 304, 412, 416, 428, 429, 431, 511, 600, 999, 0}
	for status := 100; status < 600; status++ {
		want := ReasonNone
		switch {
		case status == 206:
			want = ReasonPartial
		case status < 200, slices.Contains(never, status):
			want = ReasonStatus
		}
		s := Decide(&Rule{}, get(), answer(status, fresh...))
		if s.Reason != want {
			t.Errorf("%d with max-age: %v, want %v", status, s.Reason, want)
		}
		if want != ReasonNone {
			continue
		}
		s = Decide(&Rule{}, get(), answer(status, "Last-Modified: @-86400", "Date: @0"))
		heuristic := slices.Contains([]int{200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501}, status)
		if heuristic != (s.Reason == ReasonNone) || heuristic != s.Freshness.Heuristic && s.Reason == ReasonNone {
			t.Errorf("%d with Last-Modified: %v %+v", status, s.Reason, s.Freshness)
		}
		if !heuristic && s.Reason != ReasonStatus {
			t.Errorf("%d with Last-Modified: %v", status, s.Reason)
		}
		s = Decide(&Rule{}, get(), answer(status, "Last-Modified: @-20000", "Cache-Control: public"))
		life := 2000 * second
		if status >= 400 && status != 404 && status != 410 && status != 451 {
			life = 10 * second
		}
		if s.Reason != ReasonNone || s.Freshness.Lifetime != life {
			t.Errorf("%d, public: %v %+v (RFC 9111 section 4.2.2)", status, s.Reason, s.Freshness)
		}
	}
}

func TestUnstatedLifetime(t *testing.T) {
	lm := "Last-Modified: @-1000"
	runStored(t, []stored{
		{name: "nothing at all", reason: ReasonNoFreshness},
		{name: "9111 4.2.2 a tenth", fields: []string{lm, "Date: @0"}, after: 99},
		{name: "9111 4.2.2 a tenth, over", fields: []string{lm, "Date: @0"}, after: 100, use: UseRevalidate},
		{name: "9111 4.2.2 at most an hour", fields: []string{"Last-Modified: @-999999999", "Date: @0"}, after: 3599},
		{name: "9111 4.2.2 at most an hour, over", fields: []string{"Last-Modified: @-999999999", "Date: @0"}, after: 3600, use: UseRevalidate},
		{name: "min gives nothing to what states nothing", rule: Rule{TTL: TTL{Min: time.Minute}}, fields: []string{lm}, after: 100, use: UseRevalidate},
		{name: "min is for what states a lifetime", rule: Rule{TTL: TTL{Min: time.Minute}}, fields: []string{`ETag: "a"`}, use: UseRevalidate},
		{name: "9111 4.2.2 the rule's bound", rule: Rule{TTL: TTL{HeuristicMax: time.Minute}}, fields: []string{lm}, after: 60, use: UseRevalidate},
		{name: "9111 4.2.2 the rule's fraction", rule: Rule{TTL: TTL{HeuristicFraction: 0.5}}, fields: []string{lm}, after: 499},
		{name: "9111 4.2.2 off", rule: Rule{TTL: TTL{NoHeuristic: true}}, fields: []string{lm}, use: UseRevalidate},
		{name: "9111 4.2.2 future Last-Modified", fields: []string{"Last-Modified: @1000"}, use: UseRevalidate},
		{name: "9111 3 a validator alone", fields: []string{`ETag: "a"`}, use: UseRevalidate},
		{name: "invalid Last-Modified is no validator", fields: []string{"Last-Modified: yesterday"}, reason: ReasonNoFreshness},
		{name: "9111 5.4 Pragma, and nothing else", fields: []string{"Pragma: no-cache", lm}, use: UseRevalidate},
		{name: "9111 5.4 Pragma beside Cache-Control", fields: []string{"Pragma: no-cache", "Cache-Control: max-age=10"}, after: 9},
		{name: "9111 5.4 unknown Pragma", fields: []string{"Pragma: foo", lm}, after: 99},
		{name: "attachments are like others", fields: []string{lm, "Content-Disposition: attachment"}, after: 99},
	})
}

func TestCookies(t *testing.T) {
	keepNone, lm := Rule{Forgo: Forgo{Cookies: true}}, "Last-Modified: @-1000"
	runStored(t, []stored{
		{name: "9111 7.3 explicitly fresh", fields: []string{"Set-Cookie: a=b", "Cache-Control: max-age=10"}, after: 9},
		{name: "9111 7.3 public", fields: []string{"Set-Cookie: a=b", "Cache-Control: public", "Last-Modified: @-1000"}, after: 99},
		{name: "9111 7.3 heuristic", fields: []string{"Set-Cookie: a=b", "Last-Modified: @-1000"}, reason: ReasonSetCookie},
		{name: "9111 7.3 only a validator", fields: []string{"Set-Cookie: a=b", `ETag: "a"`}, reason: ReasonSetCookie},
		{name: "9111 7.3 no-cache", fields: []string{"Set-Cookie: a=b", `ETag: "a"`, "Cache-Control: no-cache, max-age=9"}, reason: ReasonSetCookie},
		{name: "9111 7.3 max-age of 0", fields: []string{"Set-Cookie: a=b", `ETag: "a"`, "Cache-Control: max-age=0"}, reason: ReasonSetCookie},
		{name: "default lifetime", rule: Rule{TTL: TTL{Default: time.Hour}}, fields: []string{"Set-Cookie: a=b"}, reason: ReasonSetCookie},
		{name: "override", rule: Rule{TTL: TTL{Override: time.Hour}}, fields: []string{"Set-Cookie: a=b"}, reason: ReasonSetCookie},
		{name: "negative lifetime", rule: Rule{TTL: TTL{Negative: map[int]time.Duration{404: time.Hour}}}, status: 404, fields: []string{"Set-Cookie: a=b"}, reason: ReasonSetCookie},
		{name: "9111 5.2.2.4 the cookie is withheld", fields: []string{"Set-Cookie: a=b", "Last-Modified: @-1000", `Cache-Control: no-cache="Set-Cookie"`}, after: 99},
		{name: "not stored", rule: keepNone, fields: []string{"Set-Cookie: a=b", "Cache-Control: public, max-age=10"}, reason: ReasonSetCookie},
		{name: "not stored, but withheld", rule: keepNone, fields: []string{"Set-Cookie: a=b", `Cache-Control: max-age=10, private="Set-Cookie"`}, after: 9},
		{name: "stripped", rule: Rule{Cookies: CookiesStrip, Forgo: Forgo{Cookies: true}}, fields: []string{"Set-Cookie: a=b", lm}, after: 99},
		{name: "ignored", rule: Rule{Cookies: CookiesIgnore, Forgo: Forgo{Cookies: true}}, fields: []string{"Set-Cookie: a=b", lm}, after: 99},
	})
	for _, mode := range []CookieMode{CookiesStrip, CookiesIgnore} {
		s := Decide(&Rule{Cookies: mode}, get(), answer(200, "Set-Cookie: a=b", "Cache-Control: max-age=10"))
		if s.Reason != ReasonNone || s.Fields.Has("Set-Cookie") {
			t.Errorf("%v: %v, stored %v", mode, s.Reason, s.Fields)
		}
	}
}

// TestRequestCookies: what the response does not state is not for requests with
// cookies or credentials of their own, and an answer to one is not for others.
func TestRequestCookies(t *testing.T) {
	alice, bob := []string{"Cookie: s=alice"}, []string{"Cookie: s=bob"}
	token := []string{"Authorization: x"}
	stated, lm, tag := "Cache-Control: max-age=10", "Last-Modified: @-1000", `ETag: "a"`
	def := Rule{TTL: TTL{Default: time.Minute}}
	over := Rule{TTL: TTL{Override: time.Minute, StaleWhileRevalidate: time.Minute, StaleIfError: time.Hour}}
	low := Rule{TTL: TTL{Min: time.Minute}}
	negative := Rule{TTL: TTL{Negative: map[int]time.Duration{404: time.Minute}}}
	with := func(r Rule, m CookieMode) Rule { r.Cookies = m; return r }
	keyed := Rule{Key: KeySpec{Cookies: []string{"s"}}, TTL: TTL{Default: time.Minute}}
	runStored(t, []stored{
		{name: "stated, from one to another", client: alice, fields: []string{stated}, later: bob, after: 9},
		{name: "stated, from a guest", fields: []string{stated}, later: bob, after: 9},
		{name: "a guess, to nobody with cookies", fields: []string{lm}, later: bob, use: UseRevalidate},
		{name: "a guess, to nobody with credentials", fields: []string{lm}, later: token, use: UseRevalidate},
		{name: "a guess, among guests", fields: []string{lm}, after: 99},
		{name: "a guess, not stored", client: alice, fields: []string{lm}, reason: ReasonCookie},
		{name: "a tag alone, not stored", client: alice, fields: []string{tag}, reason: ReasonCookie},
		{name: "public is no lifetime", client: alice, fields: []string{"Cache-Control: public", lm}, reason: ReasonCookie},
		{name: "nothing, not stored", client: alice, reason: ReasonCookie},
		{name: "default", rule: def, later: bob, use: UseRevalidate},
		{name: "default, not stored", rule: def, client: alice, reason: ReasonCookie},
		{name: "default beside what is stated", rule: def, client: alice, fields: []string{stated}, later: bob, after: 9},
		{name: "override", rule: over, later: bob, use: UseRevalidate},
		{name: "override, not stored", rule: over, client: alice, reason: ReasonCookie},
		{name: "override beyond what is stated", rule: over, fields: []string{stated}, later: bob, after: 9},
		{name: "override beyond what is stated, stale", rule: over, fields: []string{stated}, later: bob, after: 20, use: UseStaleRevalidating},
		{name: "override beyond what is stated, for guests", rule: over, fields: []string{stated}, after: 59},
		{name: "override of no-cache", rule: over, fields: []string{"Cache-Control: no-cache", tag}, later: bob, use: UseRevalidate},
		{name: "override of an answer to cookies", rule: over, client: alice, fields: []string{stated, tag}, after: 20, use: UseStaleRevalidating},
		{name: "min beyond what is stated", rule: low, fields: []string{stated, tag}, later: bob, after: 10, use: UseRevalidate},
		{name: "min beyond what is stated, for guests", rule: low, fields: []string{stated}, after: 59},
		{name: "min of an answer to cookies", rule: low, client: alice, fields: []string{stated, tag}, after: 10, use: UseRevalidate},
		{name: "negative", rule: negative, status: 404, later: bob, use: UseRevalidate},
		{name: "negative, not stored", rule: negative, client: alice, status: 404, reason: ReasonCookie},
		{name: "to be validated, by a tag", client: alice, fields: []string{"Cache-Control: no-cache", tag}, later: bob, use: UseRevalidate},
		{name: "to be validated, by a date", client: alice, fields: []string{"Cache-Control: no-cache", lm}, reason: ReasonCookie},
		{name: "max-age of 0, by a date", client: alice, fields: []string{"Cache-Control: max-age=0", lm}, reason: ReasonCookie},
		{name: "in the key", rule: keyed, client: alice, later: alice, after: 59},
		{name: "in the key, and another", rule: keyed, client: []string{"Cookie: s=a; t=b"}, reason: ReasonCookie},
		{name: "ignored", rule: with(def, CookiesIgnore), client: alice, later: bob, after: 59},
		{name: "ignored, and credentials", rule: with(def, CookiesIgnore), later: token, use: UseRevalidate},
		{name: "stripped", rule: with(def, CookiesStrip), client: alice, later: bob, after: 59},
		{name: "POST with cookies, stated", method: "POST", client: alice, fields: []string{stated, "Content-Location: /p?q"}, later: bob, after: 9},
		{name: "POST with cookies that a GET would not show", rule: with(Rule{}, CookiesStrip), method: "POST", client: alice, fields: []string{stated, "Content-Location: /p?q"}, reason: ReasonCookie},
		{name: "max-stale of what is a guess", fields: []string{lm}, later: append(bob, "Cache-Control: max-stale"), after: 200, use: UseRevalidate},
	})
}

// TestErrors: an error is kept for ten seconds at most, whatever it states.
func TestErrors(t *testing.T) {
	hour := "Cache-Control: max-age=3600, stale-while-revalidate=3600, stale-if-error=3600"
	tag := `ETag: "a"`
	long := Rule{TTL: TTL{ErrorMax: time.Minute}}
	none := Rule{TTL: TTL{ErrorMax: -1}}
	named := Rule{TTL: TTL{Negative: map[int]time.Duration{500: 30 * time.Second, 404: time.Second}}}
	runStored(t, []stored{
		{name: "500", status: 500, fields: []string{hour, tag}, after: 9},
		{name: "500, over", status: 500, fields: []string{hour, tag}, after: 10, use: UseRevalidate},
		{name: "400", status: 400, fields: []string{hour, tag}, after: 10, use: UseRevalidate},
		{name: "403 that is old", status: 403, fields: []string{hour, "Age: 1000"}, after: 9},
		{name: "405, guessed", status: 405, fields: []string{"Last-Modified: @-100000"}, after: 10, use: UseRevalidate},
		{name: "404 is an answer", status: 404, fields: []string{hour}, after: 3599},
		{name: "410 is an answer", status: 410, fields: []string{hour}, after: 3599},
		{name: "451 is an answer", status: 451, fields: []string{hour}, after: 3599},
		{name: "302 is no error", status: 302, fields: []string{hour}, after: 3599},
		{name: "the rule's", rule: long, status: 500, fields: []string{hour, tag}, after: 59},
		{name: "the rule's, over", rule: long, status: 500, fields: []string{hour, tag}, after: 60, use: UseRevalidate},
		{name: "none", rule: none, status: 500, fields: []string{hour}, reason: ReasonExpired},
		{name: "named", rule: named, status: 500, fields: []string{hour, tag}, after: 29},
		{name: "named, over", rule: named, status: 500, fields: []string{hour, tag}, after: 30, use: UseRevalidate},
		{name: "named, and no error", rule: named, status: 404, fields: []string{hour}, after: 3599},
		{name: "shorter than that", status: 500, fields: []string{"Cache-Control: max-age=2", tag}, after: 2, use: UseRevalidate},
		{name: "default is not for errors", rule: Rule{TTL: TTL{Default: time.Hour}}, status: 405, fields: []string{"Last-Modified: @-50"}, after: 5, use: UseRevalidate},
		{name: "override is not for errors", rule: Rule{TTL: TTL{Override: time.Hour}}, status: 403, fields: []string{"Cache-Control: max-age=2", tag}, after: 2, use: UseRevalidate},
	})
}

// TestWaiting: for those who waited, age counts from the arrival.
func TestWaiting(t *testing.T) {
	ask := NewAsker(&Rule{}, get())
	for _, row := range []struct {
		name   string
		fields []string
		use    Use
	}{
		{"a short lifetime and a slow origin", []string{"Cache-Control: max-age=1", "Date: @-2"}, UseFresh},
		{"the same, with an age", []string{"Cache-Control: max-age=1", "Age: 1"}, UseRevalidate},
		{"an age below", []string{"Cache-Control: max-age=2", "Age: 1"}, UseFresh},
		{"no lifetime", []string{`ETag: "a"`}, UseRevalidate},
		{"a guess", []string{"Last-Modified: @-30"}, UseFresh},
	} {
		r := answer(200, append(row.fields, `ETag: "a"`)...)
		r.RequestTime -= 2 * second
		s := Decide(&Rule{}, get(), r)
		if use := s.Waiting.Reusable(&ask, OnRequest, t0); use != row.use {
			t.Errorf("%s: %v, want %v (%+v)", row.name, use, row.use, s.Waiting)
		}
	}
}

func TestRuleLifetimes(t *testing.T) {
	def := Rule{TTL: TTL{Default: time.Minute}}
	over := Rule{TTL: TTL{Override: time.Hour, StaleIfError: time.Hour, StaleWhileRevalidate: time.Minute}}
	negative := Rule{TTL: TTL{Default: time.Hour, Negative: map[int]time.Duration{404: time.Second, 503: time.Second, 302: time.Second, 410: 0}}}
	bounds := Rule{TTL: TTL{Min: 10 * time.Second, Max: 20 * time.Second}}
	runStored(t, []stored{
		{name: "default", rule: def, after: 59},
		{name: "default over", rule: def, fields: []string{`ETag: "a"`}, after: 60, use: UseRevalidate},
		{name: "default counts from arrival", rule: def, fields: []string{"Age: 1000"}, after: 59},
		{name: "default before heuristics", rule: def, fields: []string{"Last-Modified: @-86400"}, after: 60, use: UseRevalidate},
		{name: "default after max-age", rule: def, fields: []string{"Cache-Control: max-age=90"}, after: 89},
		{name: "default not for no-cache", rule: def, fields: []string{"Cache-Control: no-cache", `ETag: "a"`}, use: UseRevalidate},
		{name: "default not for errors", rule: def, status: 404, reason: ReasonNoFreshness},
		{name: "default not for what needs saying so", rule: def, status: 302, reason: ReasonStatus},
		{name: "override", rule: over, after: 3599},
		{name: "override beats max-age", rule: over, fields: []string{"Cache-Control: max-age=0"}, after: 3599},
		{name: "override beats no-cache", rule: over, fields: []string{"Cache-Control: no-cache"}, after: 3599},
		{name: "override beats Age", rule: over, fields: []string{"Cache-Control: max-age=1", "Age: 99999"}, after: 3599},
		{name: "override does not beat no-store", rule: over, fields: []string{"Cache-Control: no-store"}, reason: ReasonNoStore},
		{name: "private with a semicolon behind it", rule: over, fields: []string{"Cache-Control: private; max-age=10"}, reason: ReasonPrivate},
		{name: "private behind a semicolon", rule: over, fields: []string{"Cache-Control: max-age=10; private"}, reason: ReasonPrivate},
		{name: "no-store behind a space", rule: over, fields: []string{"Cache-Control: max-age=10 no-store"}, reason: ReasonNoStore},
		{name: "override does not beat private", rule: over, fields: []string{"Cache-Control: private"}, reason: ReasonPrivate},
		{name: "override does not keep failures", rule: over, status: 503, reason: ReasonStatus},
		{name: "override does not keep stated failures longer", rule: over, status: 503, fields: []string{"Cache-Control: max-age=1, must-revalidate", `ETag: "a"`}, after: 2, use: UseRevalidate},
		{name: "override, then stale-while-revalidate", rule: over, fields: []string{"Cache-Control: s-maxage=1"}, after: 3601, use: UseStaleRevalidating},
		{name: "override keeps must-revalidate", rule: over, fields: []string{"Cache-Control: must-revalidate"}, after: 3601, use: UseRevalidate},
		{name: "negative", rule: negative, status: 404, after: 0},
		{name: "negative makes a status storable", rule: negative, status: 503, after: 0},
		{name: "negative for redirects", rule: negative, status: 302, after: 0},
		{name: "negative of 0", rule: negative, status: 410, reason: ReasonNoFreshness},
		{name: "negative after max-age", rule: negative, status: 404, fields: []string{"Cache-Control: max-age=10"}, after: 9},
		{name: "negative not for another status", rule: negative, status: 500, reason: ReasonStatus},
		{name: "negative never for what answers the request", rule: Rule{TTL: TTL{Negative: map[int]time.Duration{429: time.Hour}}}, status: 429, reason: ReasonStatus},
		{name: "min", rule: bounds, fields: []string{"Cache-Control: max-age=1"}, after: 9},
		{name: "max", rule: bounds, fields: []string{"Cache-Control: max-age=100"}, after: 20, use: UseRevalidate},
		{name: "min does not beat no-cache", rule: bounds, fields: []string{"Cache-Control: no-cache", `ETag: "a"`}, after: 1, use: UseRevalidate},
	})
}

func TestTargetedFields(t *testing.T) {
	runStored(t, []stored{
		{name: "9213 2.2 wins, longer", fields: []string{"Cache-Control: max-age=1", "CDN-Cache-Control: max-age=10"}, after: 9},
		{name: "9213 2.2 wins, shorter", fields: []string{"Cache-Control: max-age=10", "CDN-Cache-Control: max-age=1", `ETag: "a"`}, after: 2, use: UseRevalidate},
		{name: "9213 2.2 no-store of Cache-Control", fields: []string{"Cache-Control: no-store", "CDN-Cache-Control: max-age=10"}, after: 9},
		{name: "9213 2.2 past Expires", fields: []string{"Expires: @-10", "CDN-Cache-Control: max-age=10"}, after: 9},
		{name: "9213 2.2 future Expires", fields: []string{"Expires: @10", "CDN-Cache-Control: max-age=0"}, reason: ReasonExpired},
		{name: "9213 2.2 Expires counts for nothing", fields: []string{"Expires: @10", "CDN-Cache-Control: public"}, reason: ReasonNoFreshness},
		{name: "9213 2.2 private", fields: []string{"Cache-Control: max-age=10", "CDN-Cache-Control: private"}, reason: ReasonPrivate},
		{name: "9213 2.2 no-store", fields: []string{"Cache-Control: max-age=10", "CDN-Cache-Control: no-store"}, reason: ReasonNoStore},
		{name: "9213 2.2 no-cache", fields: []string{"Cache-Control: max-age=10", "CDN-Cache-Control: no-cache, max-age=10", `ETag: "a"`}, use: UseRevalidate},
		{name: "9213 2.1 large numbers", fields: []string{"CDN-Cache-Control: max-age=99999999999"}, after: 1e9},
		{name: "9213 2.1 negative numbers", fields: []string{"CDN-Cache-Control: max-age=-1"}, reason: ReasonExpired},
		{name: "9213 2.1 unknown members", fields: []string{"CDN-Cache-Control: foobar;a=1, max-age=10;b=2"}, after: 9},
		{name: "9213 2.1 two lines", fields: []string{"CDN-Cache-Control: max-age=1", "CDN-Cache-Control: max-age=10"}, after: 9},
		{name: "9213 2.1 syntax error", fields: []string{"CDN-Cache-Control: max-age=10, &&&", "Cache-Control: no-store"}, reason: ReasonNoStore},
		{name: "9213 2.1 space before =", fields: []string{"CDN-Cache-Control: max-age =10", "Cache-Control: max-age=1", `ETag: "a"`}, after: 2, use: UseRevalidate},
		{name: "9213 2.1 upper case", fields: []string{"CDN-Cache-Control: Max-Age=10"}, reason: ReasonNoFreshness},
		{name: "9213 2.1 wrong type", fields: []string{`CDN-Cache-Control: max-age="10"`, "Cache-Control: no-store"}, reason: ReasonNoStore},
		{name: "9213 2.1 decimal", fields: []string{"CDN-Cache-Control: max-age=10.0", "Cache-Control: no-store"}, reason: ReasonNoStore},
		{name: "9213 2.1 empty", fields: []string{"CDN-Cache-Control: ", "Cache-Control: max-age=10"}, after: 9},
		{name: "9213 2.1 false", fields: []string{"CDN-Cache-Control: no-store=?0, max-age=10"}, after: 9},
		{name: "9213 2.2 s-maxage", fields: []string{"CDN-Cache-Control: s-maxage=10, max-age=1"}, after: 9},
		{name: "9213 2.2 stale-while-revalidate", fields: []string{"CDN-Cache-Control: max-age=1, stale-while-revalidate=10, stale-if-error=5"}, after: 9, use: UseStaleRevalidating},
		{name: "9213 2.1 private with a list", fields: []string{`CDN-Cache-Control: private="x-a", max-age=10`}, after: 9},
		{name: "9213 2.1 private of another type", fields: []string{`CDN-Cache-Control: private=("x-a"), max-age=10`}, reason: ReasonPrivate},
		{name: "9213 2.2 Weir's own first", fields: []string{"CDN-Cache-Control: max-age=1", "Weir-Cache-Control: max-age=10"}, after: 9},
		{name: "9213 2.2 Weir's own, broken", fields: []string{"CDN-Cache-Control: max-age=10", "Weir-Cache-Control: ,"}, after: 9},
		{name: "no targets", rule: Rule{TTL: TTL{Targets: []string{}}}, fields: []string{"CDN-Cache-Control: max-age=10", "Cache-Control: no-store"}, reason: ReasonNoStore},
		{name: "other targets", rule: Rule{TTL: TTL{Targets: []string{"x-cache-control"}}}, fields: []string{"X-Cache-Control: max-age=10", "CDN-Cache-Control: no-store"}, after: 9},
		{name: "9111 3.5 Authorization, public in the target", client: []string{"Authorization: x"}, fields: []string{"CDN-Cache-Control: public, max-age=10"}, after: 9},
		{name: "9111 3.5 Authorization, public elsewhere", client: []string{"Authorization: x"}, fields: []string{"CDN-Cache-Control: max-age=10", "Cache-Control: public"}, reason: ReasonAuthorization},
		{name: "9111 4.2.3 Age", fields: []string{"Date: @0", "CDN-Cache-Control: max-age=10", "Age: 20"}, reason: ReasonExpired},
	})
}

func TestStoredFields(t *testing.T) {
	r := answer(200, `Cache-Control: max-age=10, private="X-A, x-b", no-cache="x-c"`, "X-A: 1", "X-B: 2", "X-C: 3", "X-D: 4",
		"Age: 1", "Cdn-Cache-Control: foo=&", "ETag: \"a\"")
	s := Decide(&Rule{}, get(), r)
	if s.Reason != ReasonNone {
		t.Fatal(s.Reason)
	}
	for _, name := range []string{"X-A", "X-B", "X-C", "Age"} {
		if s.Fields.Has(name) {
			t.Errorf("%s is stored", name)
		}
		if !r.Fields.Has(name) {
			t.Errorf("%s is gone from the answer itself", name)
		}
	}
	if s.Fields.Get("X-D") != "4" || s.Fields.Get("Cdn-Cache-Control") == "" {
		t.Errorf("stored: %v", s.Fields)
	}
	if got := s.Fields.Get("Date"); got != dateAt(0) {
		t.Errorf("Date %q (RFC 9110 section 6.6.1)", got)
	}
	if !slices.IsSortedFunc(s.Fields, func(a, b Field) int { return compareFold(a.Name, b.Name) }) {
		t.Errorf("not sorted: %v", s.Fields)
	}
}

func TestRefresh(t *testing.T) {
	kept := Decide(&Rule{}, get(), answer(404, "Cache-Control: max-age=2", `ETag: "a"`, "X-A: 1", "Age: 1")).Fields
	fresh := answer(304, "Cache-Control: max-age=100", "X-B: 2")
	fresh.RequestTime, fresh.ResponseTime = t0+50*second, t0+51*second
	s := Refresh(&Rule{}, get(), 404, kept, fresh)
	if s.Reason != ReasonNone || s.Fields.Get("X-A") != "1" || s.Fields.Get("X-B") != "2" || s.Fields.Get("Etag") != `"a"` {
		t.Fatalf("%v %v", s.Reason, s.Fields)
	}
	if age := s.Freshness.Age(t0 + 52*second); age != 2 {
		t.Errorf("age %d, want 2: 1 s of delay, 1 s of residence (RFC 9111 section 4.2.3)", age)
	}
	if ttl := s.Freshness.TTL(t0 + 52*second); ttl != 98*second {
		t.Errorf("ttl %d", ttl/second)
	}
	if s := Refresh(&Rule{}, get(), 200, kept, answer(304, "Cache-Control: no-store")); s.Reason != ReasonNoStore {
		t.Errorf("a 304 with no-store: %v", s.Reason)
	}
}

func FuzzDecide(f *testing.F) {
	for _, line := range []string{
		"max-age=10", `private="a, b", max-age="1"`, `no-cache="`, "max-age=1,max-age=2", "s-maxage=99999999999999999999",
		"stale-while-revalidate=1, stale-if-error", "=,;\"\\", "max-age=10, &&&", "a=1;b=?0, max-age=5", "no-store=?0", "private=(a b)",
	} {
		f.Add(line, line, "Accept-Encoding, *", int64(0), int64(1))
	}
	f.Fuzz(func(t *testing.T, cc, cdn, vary string, sent, arrived int64) {
		r := &Response{
			Status: 200, RequestTime: sent, ResponseTime: arrived,
			Fields: Fields{{"Cache-Control", cc}, {"Cdn-Cache-Control", cdn}, {"Etag", cc}, {"Vary", vary}},
		}
		s := Decide(&Rule{}, get(), r)
		if s.Reason != ReasonNone {
			return
		}
		if s.Vary.Star || s.Freshness.Lifetime < 0 {
			t.Fatalf("%+v", s)
		}
		if again := Decide(&Rule{}, get(), r); again.Freshness != s.Freshness {
			t.Fatal("not the same twice")
		}
		if age := s.Freshness.Age(arrived); age < 0 || age > maxDelta {
			t.Fatalf("age %d", age)
		}
	})
}

func FuzzCacheControl(f *testing.F) {
	for _, s := range []string{
		"", "no-store", "max-age=1", `a="b,c", d`, `a="b\"", no-store`, `a="b, no-store`, " , =, \"", "private = x", "x=\"\\",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		rest, members := s, 0
		for {
			d, next, ok := nextDirective(rest)
			if !ok {
				break
			}
			if len(next) >= len(rest) {
				t.Fatalf("%q: no progress at %q", s, rest)
			}
			b, _, _ := nextDirective([]byte(rest))
			if string(b.name) != d.name || string(b.arg) != d.arg || b.bad != d.bad || b.hasArg != d.hasArg {
				t.Fatalf("%q: bytes and strings differ", rest)
			}
			rest, members = next, members+1
		}
		// A directive put behind anything still counts.
		var c control
		c.parse(s + ",no-store")
		if !c.noStore {
			t.Fatalf("%q hides what follows", s)
		}
	})
}

func BenchmarkDecide(b *testing.B) {
	r := answer(200, "Cache-Control: public, max-age=600, stale-while-revalidate=30", `ETag: "abc"`, "Date: @0",
		"Last-Modified: @-1000", "Content-Type: text/html", "Vary: Accept-Encoding")
	q := get()
	rule := &Rule{}
	b.ReportAllocs()
	for b.Loop() {
		if s := Decide(rule, q, r); s.Reason != ReasonNone {
			b.Fatal(s.Reason)
		}
	}
}
