package policy

import (
	"slices"
	"testing"
)

func TestEvaluate(t *testing.T) {
	strong := []string{`ETag: "a,b"`, "Last-Modified: @-5000", "Date: @0"}
	weak := []string{`ETag: W/"a"`, "Date: @0"}
	dated := []string{"Last-Modified: @-5000", "Date: @0"}
	bare := []string{"Date: @0"}
	rows := []struct {
		name   string
		stored []string
		client []string
		want   Precondition
	}{
		{"9110 13.1 no precondition", strong, nil, PreconditionNone},
		{"9110 13.1.2 If-None-Match", strong, []string{`If-None-Match: "a,b"`}, NotModified},
		{"9110 13.1.2 another tag", strong, []string{`If-None-Match: "a"`}, PreconditionNone},
		{"9110 13.1.2 first of a list", strong, []string{`If-None-Match: "a,b", "c"`}, NotModified},
		{"9110 13.1.2 within a list", strong, []string{`If-None-Match: "c", "a,b", W/"d"`}, NotModified},
		{"9110 13.1.2 last of a list without spaces", strong, []string{`If-None-Match: "c","d","a,b"`}, NotModified},
		{"9110 13.1.2 two lines", strong, []string{`If-None-Match: "c"`, `If-None-Match: "a,b"`}, NotModified},
		{"9110 13.1.2 weak comparison", strong, []string{`If-None-Match: W/"a,b"`}, NotModified},
		{"9110 13.1.2 weak comparison, weak stored", weak, []string{`If-None-Match: "a"`}, NotModified},
		{"9110 13.1.2 both weak", weak, []string{`If-None-Match: W/"a"`}, NotModified},
		{"9110 13.1.2 any", bare, []string{"If-None-Match: *"}, NotModified},
		{"9110 13.1.2 no stored tag", bare, []string{`If-None-Match: "a"`}, PreconditionNone},
		{"9110 13.1.2 empty list", strong, []string{"If-None-Match: "}, PreconditionNone},
		{"9110 13.1.2 a star in a list is no wildcard", strong, []string{`If-None-Match: "c", *`}, PreconditionNone},
		{"9110 8.8.3 tags are case-sensitive", strong, []string{`If-None-Match: "A,B"`}, PreconditionNone},
		{"9110 8.8.3 unquoted is not quoted", []string{`ETag: "a"`}, []string{"If-None-Match: a"}, PreconditionNone},
		{"9110 8.8.3 quoted is not unquoted", []string{"ETag: a"}, []string{`If-None-Match: "a"`}, PreconditionNone},
		{"9110 8.8.3 unquoted equals itself", []string{"ETag: a"}, []string{"If-None-Match: b, a"}, NotModified},
		{"9110 8.8.3 small w equals itself", []string{`ETag: w/"a"`}, []string{`If-None-Match: w/"a"`}, NotModified},
		{"9110 8.8.3 small w is not W", []string{`ETag: w/"a"`}, []string{`If-None-Match: W/"a"`}, PreconditionNone},
		{"9110 8.8.3 backslash is a plain character", []string{`ETag: "a\"`}, []string{`If-None-Match: "a\", "c"`}, NotModified},
		{"9110 8.8.3 obs-text", []string{"ETag: \"\xfc\""}, []string{"If-None-Match: \"\xfc\""}, NotModified},
		{"9110 13.2.2 If-None-Match before If-Modified-Since", strong, []string{`If-None-Match: "a,b"`, "If-Modified-Since: " + dateAt(-10000)}, NotModified},
		{"9110 13.2.2 If-Modified-Since not asked", strong, []string{`If-None-Match: "c"`, "If-Modified-Since: " + dateAt(0)}, PreconditionNone},
		{"9110 13.1.3 the same date", dated, []string{"If-Modified-Since: " + dateAt(-5000)}, NotModified},
		{"9110 13.1.3 a later date", dated, []string{"If-Modified-Since: " + dateAt(-4000)}, NotModified},
		{"9110 13.1.3 an earlier date", dated, []string{"If-Modified-Since: " + dateAt(-5001)}, PreconditionNone},
		{"9110 13.1.3 RFC 850 date", dated, []string{"If-Modified-Since: Friday, 15-Jan-27 08:00:00 GMT"}, NotModified},
		{"9110 13.1.3 invalid date", dated, []string{"If-Modified-Since: now"}, PreconditionNone},
		{"9111 4.3.2 Date stands in", bare, []string{"If-Modified-Since: " + dateAt(0)}, NotModified},
		{"9111 4.3.2 before Date", bare, []string{"If-Modified-Since: " + dateAt(-1)}, PreconditionNone},
		{"9111 4.3.2 neither date", nil, []string{"If-Modified-Since: " + dateAt(0)}, PreconditionNone},
		{"9110 13.1.1 If-Match", strong, []string{`If-Match: "c", "a,b"`}, PreconditionNone},
		{"9110 13.1.1 no match", strong, []string{`If-Match: "c"`}, PreconditionFailed},
		{"9110 13.1.1 strong comparison, weak asked", strong, []string{`If-Match: W/"a,b"`}, PreconditionFailed},
		{"9110 13.1.1 strong comparison, weak stored", weak, []string{`If-Match: "a"`}, PreconditionFailed},
		{"9110 13.1.1 any", bare, []string{"If-Match: *"}, PreconditionNone},
		{"9110 13.1.1 no stored tag", bare, []string{`If-Match: "a"`}, PreconditionFailed},
		{"9110 13.2.2 If-Match, then If-None-Match", strong, []string{`If-Match: "a,b"`, `If-None-Match: "a,b"`}, NotModified},
		{"9110 13.1.4 If-Unmodified-Since", dated, []string{"If-Unmodified-Since: " + dateAt(-5000)}, PreconditionNone},
		{"9110 13.1.4 modified since", dated, []string{"If-Unmodified-Since: " + dateAt(-5001)}, PreconditionFailed},
		{"9110 13.1.4 no Last-Modified", bare, []string{"If-Unmodified-Since: " + dateAt(-5001)}, PreconditionNone},
		{"9110 13.1.4 invalid date", dated, []string{"If-Unmodified-Since: x"}, PreconditionNone},
		{"9110 13.2.2 If-Match before If-Unmodified-Since", strong, []string{`If-Match: "a,b"`, "If-Unmodified-Since: " + dateAt(-9999)}, PreconditionNone},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			v := ValidatorsOf(answer(200, row.stored...).Fields)
			if got := v.Evaluate(get(row.client...), Lent{}); got != row.want {
				t.Errorf("%v, want %v (%+v)", got, row.want, v)
			}
			head := get(row.client...)
			head.Method = "HEAD"
			if got := v.Evaluate(head, Lent{}); got != row.want {
				t.Errorf("HEAD: %v, want %v", got, row.want)
			}
			post := get(row.client...)
			post.Method = "POST"
			if got := v.Evaluate(post, Lent{}); got != PreconditionNone {
				t.Errorf("POST: %v", got)
			}
		})
	}
}

func TestLend(t *testing.T) {
	rows := []struct {
		name   string
		stored []string
		since  int64
		after  int64
		want   Precondition
		// replaced: something else was stored before.
		replaced bool
	}{
		{"within the lifetime", []string{"Cache-Control: max-age=5000"}, -3000, 1000, NotModified, false},
		{"the cache may have served something then", []string{"Cache-Control: max-age=5000"}, -99, 1000, PreconditionNone, false},
		{"it had something else before", []string{"Cache-Control: max-age=5000"}, -3000, 1000, PreconditionNone, true},
		{"older than the lifetime", []string{"Cache-Control: max-age=5000"}, -3000, 2001, PreconditionNone, false},
		{"stale", []string{"Cache-Control: max-age=5000"}, 1, 5000, NotModified, false},
		{"stale, before Date", []string{"Cache-Control: max-age=5000"}, -1, 5000, PreconditionNone, false},
		{"with a tag", []string{"Cache-Control: max-age=5000", `ETag: "a"`}, -1000, 0, PreconditionNone, false},
		{"with Last-Modified", []string{"Cache-Control: max-age=5000", "Last-Modified: @-10"}, -1100, 0, PreconditionNone, false},
		{"must-revalidate", []string{"Cache-Control: max-age=5000, must-revalidate"}, -1000, 0, PreconditionNone, false},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			s := Decide(&Rule{}, get(), answer(200, append(row.stored, "Date: @0")...))
			v := ValidatorsOf(s.Fields)
			s.Freshness.Replaced = row.replaced
			lent := v.Lend(&s.Freshness, t0+row.after*second, t0-100*second)
			if got := v.Evaluate(get("If-Modified-Since: "+dateAt(row.since)), lent); got != row.want {
				t.Errorf("%v, want %v (%+v)", got, row.want, v)
			}
		})
	}
}

func TestIfRange(t *testing.T) {
	rows := []struct {
		name   string
		stored []string
		value  string
		want   bool
	}{
		{"9110 13.1.5 the tag", []string{`ETag: "a"`}, `"a"`, true},
		{"9110 13.1.5 another tag", []string{`ETag: "a"`}, `"b"`, false},
		{"9110 13.1.5 weak tag", []string{`ETag: "a"`}, `W/"a"`, false},
		{"9110 13.1.5 weak stored", []string{`ETag: W/"a"`}, `"a"`, false},
		{"9110 13.1.5 both weak", []string{`ETag: W/"a"`}, `W/"a"`, false},
		{"9110 13.1.5 two tags", []string{`ETag: "a"`}, `"a", "b"`, false},
		{"9110 13.1.5 unquoted", []string{"ETag: a"}, "a", false},
		{"9110 13.1.5 no tag stored", []string{"Date: @0"}, `"a"`, false},
		{"9110 13.1.5 the date", []string{"Last-Modified: @-10", "Date: @0"}, dateAt(-10), true},
		{"9110 13.1.5 a later date", []string{"Last-Modified: @-10", "Date: @0"}, dateAt(-9), false},
		{"9110 8.8.2.2 a weak date", []string{"Last-Modified: @0", "Date: @0"}, dateAt(0), false},
		{"9110 8.8.2.2 no Date", []string{"Last-Modified: @0"}, dateAt(0), false},
		{"a weekday that begins with W", []string{"Last-Modified: @-172800", "Date: @0"}, dateAt(-172800), true},
		{"empty", []string{`ETag: "a"`}, "", false},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			v := ValidatorsOf(answer(200, row.stored...).Fields)
			if got := v.IfRange([]byte(row.value)); got != row.want {
				t.Errorf("%v, want %v", got, row.want)
			}
		})
	}
	v := ValidatorsOf(nil)
	if !v.IfRange(nil) {
		t.Error("no If-Range is a condition")
	}
}

func TestAppendConditional(t *testing.T) {
	rows := []struct {
		name   string
		stored []string
		want   Fields
	}{
		{"9111 4.3.1 both", []string{`ETag: W/"a"`, "Last-Modified: Thursday, 01-Jan-26 00:00:00 GMT"}, Fields{
			{"If-None-Match", `W/"a"`},
			{"If-Modified-Since", "Thursday, 01-Jan-26 00:00:00 GMT"},
		}},
		{"9111 4.3.1 unquoted tag, as it came", []string{"ETag: abc"}, Fields{{"If-None-Match", "abc"}}},
		{"9111 4.3.1 invalid date", []string{"Last-Modified: never"}, nil},
		{"9111 4.3.1 two tags are none", []string{`ETag: "a", "b"`}, nil},
		{"9111 4.3.1 nothing", nil, nil},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			if got := AppendConditional(nil, answer(200, row.stored...).Fields, false); !slices.Equal(got, row.want) {
				t.Errorf("%v, want %v", got, row.want)
			}
		})
	}
}

func TestSameRepresentation(t *testing.T) {
	of := func(lines ...string) Validators { return ValidatorsOf(answer(206, lines...).Fields) }
	rows := []struct {
		name string
		a, b Validators
		want bool
	}{
		{"9110 15.3.7.3 one tag", of(`ETag: "a"`), of(`ETag: "a"`), true},
		{"9110 15.3.7.3 two tags", of(`ETag: "a"`), of(`ETag: "b"`), false},
		{"9110 15.3.7.3 weak tags", of(`ETag: W/"a"`), of(`ETag: W/"a"`), false},
		{"9110 15.3.7.3 one without", of(`ETag: "a"`, "Last-Modified: @-9", "Date: @0"), of("Last-Modified: @-9", "Date: @0"), false},
		{"9110 15.3.7.3 strong dates", of("Last-Modified: @-9", "Date: @0"), of("Last-Modified: @-9", "Date: @1"), true},
		{"9110 15.3.7.3 weak dates", of("Last-Modified: @0", "Date: @0"), of("Last-Modified: @0", "Date: @0"), false},
		{"9110 15.3.7.3 no validator", of(), of(), false},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			if got := SameRepresentation(row.a, row.b); got != row.want {
				t.Errorf("%v, want %v", got, row.want)
			}
		})
	}
}

func FuzzETags(f *testing.F) {
	for _, s := range []string{`"a"`, `W/"a", "b"`, "*", `"a`, `"a"b, "c"`, `w/"a"`, ",,", `W/`, `"a\", "b"`, "a, b"} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, list, stored string) {
		rest, tags := []byte(list), 0
		for len(rest) > 0 {
			var next []byte
			if _, _, next = nextETag(rest); len(next) >= len(rest) {
				t.Fatalf("%q: no progress at %q", list, rest)
			}
			rest, tags = next, tags+1
		}
		v := ValidatorsOf(Fields{{"Etag", stored}})
		q := get()
		q.IfNoneMatch, q.IfMatch = []byte(list), nil
		weak := v.Evaluate(q, Lent{}) == NotModified
		q.IfNoneMatch, q.IfMatch = nil, []byte(list)
		if strong := v.Evaluate(q, Lent{}) == PreconditionNone; strong && !weak {
			t.Fatalf("%q matches %q strongly and not weakly", list, stored)
		}
		// A response's own tag always matches itself.
		if v.ETag != "" && v.ETag != "*" {
			q.IfMatch, q.IfNoneMatch = nil, []byte(stored)
			if v.Evaluate(q, Lent{}) != NotModified {
				t.Fatalf("%q does not match itself", stored)
			}
		}
		v.IfRange([]byte(list))
	})
}

func BenchmarkEvaluate(b *testing.B) {
	v := ValidatorsOf(answer(200, `ETag: "abcdef"`, "Date: @0").Fields)
	q := get(`If-None-Match: "123", W/"abcdef"`)
	b.ReportAllocs()
	for b.Loop() {
		if v.Evaluate(q, Lent{}) != NotModified {
			b.Fatal()
		}
	}
}
