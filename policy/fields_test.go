package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestEndToEnd(t *testing.T) {
	received := Fields{
		{"Connection", "a, X-B"},
		{"A", "1"},
		{"X-B", "2"},
		{"C", "3"},
		{"Keep-Alive", "x"},
		{"Connection", "close"},
		{"Te", "x"},
		{"Trailer", "x"},
		{"Transfer-Encoding", "x"},
		{"Upgrade", "x"},
		{"Proxy-Connection", "x"},
		{"Proxy-Authenticate", "x"},
		{"Proxy-Authentication-Info", "x"},
		{"Proxy-Authorization", "x"},
		{"content-foo", "y"},
		{"C", " 4\t"},
		{"Empty", ""},
	}
	before := slices.Clone(received)
	got, err := EndToEnd(received)
	want := Fields{{"C", "3"}, {"C", "4"}, {"Content-Foo", "y"}, {"Empty", ""}}
	if err != nil || !slices.Equal(got, want) || !slices.Equal(received, before) {
		t.Errorf("%v %v, want %v (RFC 9110 section 7.6.1)", got, err, want)
	}
	// Nominating what keeps a response private does not publish it.
	got, err = EndToEnd(Fields{{"Connection", "cache-control, vary"}, {"Cache-Control", "private"}, {"Vary", "a"}})
	if err != nil || !got.Has("Cache-Control") || !got.Has("Vary") {
		t.Errorf("%v %v", got, err)
	}
	for _, bad := range (Fields{
		{"A B", "1"}, {"", "1"}, {"A:", "1"}, {"A", "1\n2"}, {"A", "\x00"}, {"A", "\x7f"}, {"A\x80", "1"},
	}) {
		if got, err := EndToEnd(Fields{bad}); !errors.Is(err, ErrField) {
			t.Errorf("%q: %v %v", bad, got, err)
		}
	}
	if got, err := EndToEnd(Fields{{"A", "tab\there \xfc"}}); err != nil || got.Get("A") != "tab\there \xfc" {
		t.Errorf("%v %v", got, err)
	}
}

func TestDated(t *testing.T) {
	valid := answer(200, "Date: @-5", "Zeta: 1").Fields
	if got := Dated(valid, t0); &got[0] != &valid[0] {
		t.Error("a dated response was copied")
	}
	for _, lines := range [][]string{{"A: 1", "Zeta: 1"}, {"Date: foo", "A: 1", "Zeta: 1"}} {
		got := Dated(answer(200, lines...).Fields, t0)
		want := Fields{{"A", "1"}, {"Date", dateAt(0)}, {"Zeta", "1"}}
		if !slices.Equal(got, want) {
			t.Errorf("%v, want %v (RFC 9110 section 6.6.1)", got, want)
		}
	}
}

func TestMerge(t *testing.T) {
	stored := answer(200, "Cache-Control: max-age=1", "Content-Encoding: gzip", "Content-Length: 36", "Content-Type: text/plain",
		"ETag: \"a\"", "Set-Cookie: a=b", "Set-Cookie: c=d", "Test-Header: 1", "Age: 9", "X-Old: 1").Fields
	before := slices.Clone(stored)
	fresh := answer(304, "Cache-Control: max-age=9", "Content-Encoding: br", "Content-Length: 10", "Content-Range: x", "Content-Type: text/html",
		"ETag: \"b\"", "Set-Cookie: e=f", "X-Content-Foo: 2", "Expires: 0").Fields
	fresh = append(fresh, Field{"Upgrade", "x"})
	got := Merge(stored, fresh)
	want := Fields{
		{"Cache-Control", "max-age=9"},
		{"Content-Encoding", "gzip"},
		{"Content-Length", "36"},
		{"Content-Type", "text/html"},
		{"Etag", `"a"`},
		{"Expires", "0"},
		{"Set-Cookie", "e=f"},
		{"Test-Header", "1"},
		{"X-Content-Foo", "2"},
		{"X-Old", "1"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("%v\nwant %v (RFC 9111 section 3.2)", got, want)
	}
	if !slices.Equal(stored, before) {
		t.Error("the stored fields were changed")
	}
}

func TestHeadUpdates(t *testing.T) {
	stored := answer(200, `ETag: "a"`, "Last-Modified: @-9", "Content-Length: 5").Fields
	rows := []struct {
		name   string
		status int
		head   []string
		want   HeadChange
	}{
		{"9111 4.3.5 nothing contradicts", 200, []string{"Cache-Control: max-age=9"}, HeadSilent},
		{"9111 4.3.5 all the same", 200, []string{`ETag: "a"`, "Last-Modified: @-9", "Content-Length: 5"}, HeadConfirms},
		{"9111 4.3.5 the tag alone", 200, []string{`ETag: "a"`}, HeadConfirms},
		{"9111 4.3.5 a length proves nothing", 200, []string{"Content-Length: 5"}, HeadSilent},
		{"9111 4.3.5 no answer about the resource", 403, nil, HeadSilent},
		{"9111 4.3.5 an answer to a condition", 304, nil, HeadSilent},
		{"9111 4.3.5 gone", 404, nil, HeadChanged},
		{"9111 4.3.5 another tag", 200, []string{`ETag: "b"`}, HeadChanged},
		{"9111 4.3.5 a weak tag", 200, []string{`ETag: W/"a"`}, HeadChanged},
		{"9111 4.3.5 another date", 200, []string{"Last-Modified: @-8"}, HeadChanged},
		{"9111 4.3.5 another length", 200, []string{"Content-Length: 6"}, HeadChanged},
		{"9111 4.3.5 another status", 410, nil, HeadChanged},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			if got := HeadUpdates(stored, 5, answer(row.status, row.head...)); got != row.want {
				t.Errorf("%v, want %v", got, row.want)
			}
		})
	}
}

func TestTags(t *testing.T) {
	numbered := func(n int, format string) string {
		tags := make([]string, n)
		for i := range tags {
			tags[i] = fmt.Sprintf(format, i)
		}
		return strings.Join(tags, " ")
	}
	rows := []struct {
		name   string
		rule   Rule
		fields []string
		want   []string
		reason Reason
	}{
		{"none", Rule{}, nil, nil, ReasonNone},
		{"spaces", Rule{}, []string{"Surrogate-Key:  a  b\tc "}, []string{"a", "b", "c"}, ReasonNone},
		{"a comma is part of a Surrogate-Key", Rule{}, []string{"Surrogate-Key: a,b c"}, []string{"a,b", "c"}, ReasonNone},
		{"Cache-Tag by commas", Rule{}, []string{"Cache-Tag: a,b , c"}, []string{"a", "b", "c"}, ReasonNone},
		{"xkey, two lines", Rule{}, []string{"xkey: a b", "xkey: c,a"}, []string{"a", "b", "c"}, ReasonNone},
		{"all fields, each tag once", Rule{}, []string{"xkey: x", "Surrogate-Key: a", "Cache-Tag: a,b"}, []string{"a", "b", "x"}, ReasonNone},
		{"case counts", Rule{}, []string{"xkey: A a"}, []string{"A", "a"}, ReasonNone},
		{"the rule's own field", Rule{TagFields: []string{"x-tags"}}, []string{"X-Tags: a,b", "xkey: c"}, []string{"a", "b"}, ReasonNone},
		{"no fields", Rule{TagFields: []string{}}, []string{"xkey: c"}, nil, ReasonNone},
		{"too many", Rule{}, []string{"xkey: " + numbered(DefaultTags+1, "%d")}, nil, ReasonTagLimit},
		{"too long", Rule{}, []string{"xkey: " + strings.Repeat("a", MaxTagLength+1)}, nil, ReasonTagLimit},
		{"more than the rule lets", Rule{TagLimit: TagLimit{Count: 2}}, []string{"xkey: a b c"}, nil, ReasonTagLimit},
		{"as many as the rule lets", Rule{TagLimit: TagLimit{Count: 3, Bytes: 3}}, []string{"xkey: a b c"}, []string{"a", "b", "c"}, ReasonNone},
		{"more bytes than the rule lets", Rule{TagLimit: TagLimit{Bytes: 2}}, []string{"xkey: a b c"}, nil, ReasonTagLimit},
		{"what Drupal, TYPO3 and Magento send", Rule{}, []string{"Cache-Tags: node:1 node:2", "X-Cache-Tags: p_1,p_2", "X-Magento-Tags: cat_p_1,store"}, []string{"node:1", "node:2", "p_1", "p_2", "cat_p_1", "store"}, ReasonNone},
		{"too many bytes", Rule{}, []string{"xkey: " + numbered(66, strings.Repeat("a", 1000)+"%d")}, nil, ReasonTagLimit},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			got, reason := Tags(&row.rule, answer(200, row.fields...).Fields)
			if reason != row.reason || !slices.Equal(got, row.want) {
				t.Errorf("%v %v, want %v %v", got, reason, row.want, row.reason)
			}
		})
	}
	if got, reason := Tags(&Rule{}, answer(200, "xkey: "+numbered(DefaultTags, "%d")).Fields); len(got) != DefaultTags || reason != ReasonNone {
		t.Errorf("%d tags: %v", len(got), reason)
	}
}

func TestInvalidationTargets(t *testing.T) {
	const target = "http://a.example/p?q"
	rows := []struct {
		name, method string
		status       int
		fields       []string
		want         []string
	}{
		{"9111 4.4 POST", "POST", 200, nil, []string{target}},
		{"9111 4.4 PUT", "PUT", 204, nil, []string{target}},
		{"9111 4.4 DELETE, redirected", "DELETE", 303, nil, []string{target}},
		{"9111 4.4 unknown methods", "M-SEARCH", 200, nil, []string{target}},
		{"9110 9.1 methods are case-sensitive", "get", 200, nil, []string{target}},
		{"9111 4.4 errors", "POST", 500, []string{"Location: /a"}, nil},
		{"9111 4.4 client errors", "POST", 404, nil, nil},
		{"9111 4.4 interim", "POST", 100, nil, nil},
		{"9110 9.2.1 safe", "GET", 200, []string{"Location: /a"}, nil},
		{"9110 9.2.1 OPTIONS", "OPTIONS", 200, nil, nil},
		{"9111 4.4 Location", "POST", 201, []string{"Location: /a?b#c"}, []string{target, "http://a.example/a?b"}},
		{"9111 4.4 Content-Location", "POST", 200, []string{"Content-Location: http://A.example:80/x/../y"}, []string{target, "http://a.example/y"}},
		{"9111 4.4 relative", "POST", 200, []string{"Location: r", "Content-Location: ?s"}, []string{target, "http://a.example/r", "http://a.example/p?s"}},
		{"9111 4.4 both the target", "POST", 200, []string{"Location: " + target}, []string{target}},
		{"9111 4.4 another host", "POST", 200, []string{"Location: http://b.example/p"}, []string{target}},
		{"9111 4.4 another port", "POST", 200, []string{"Location: http://a.example:81/p"}, []string{target}},
		{"9111 4.4 another scheme", "POST", 200, []string{"Location: https://a.example/p"}, []string{target}},
		{"9111 4.4 another host without a scheme", "POST", 200, []string{"Location: //b.example/"}, []string{target}},
		{"9110 4.2.4 user in it", "POST", 200, []string{"Location: http://u@a.example/z"}, []string{target}},
		{"no URL", "POST", 200, []string{"Location: http://[", "Content-Location: mailto:x"}, []string{target}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			q := get()
			q.Method = row.method
			if got := InvalidationTargets(q, answer(row.status, row.fields...)); !slices.Equal(got, row.want) {
				t.Errorf("%q, want %q", got, row.want)
			}
		})
	}
}

func TestSameOriginOverTLS(t *testing.T) {
	q := get()
	q.Method, q.Scheme = "POST", "https"
	got := InvalidationTargets(q, answer(200, "Location: https://a.example:443", "Content-Location: http://a.example/x"))
	if want := []string{"https://a.example/p?q", "https://a.example/"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func FuzzLocation(f *testing.F) {
	for _, s := range []string{"/a", "//b/c", "http://a.example/", "?x", "%zz", "http://a.example:80", "\x00", "../../x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		q := get()
		q.Method = "POST"
		r := &Response{Status: 200, Fields: Fields{{"Content-Location", s}, {"Location", s}}}
		for _, u := range InvalidationTargets(q, r) {
			if !strings.HasPrefix(u, "http://a.example/") {
				t.Fatalf("%q invalidates %q", s, u)
			}
		}
		PostReusable(&Rule{}, q, r)
	})
}
