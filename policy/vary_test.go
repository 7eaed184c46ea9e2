package policy

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

func TestParseVary(t *testing.T) {
	many := make([]string, MaxVaryNames+1)
	for i := range many {
		many[i] = "x-" + string(rune('a'+i%26)) + string(rune('a'+i/26))
	}
	rows := []struct {
		name   string
		values []string
		want   []string
		reason Reason
	}{
		{"9110 12.5.5 none", nil, nil, ReasonNone},
		{"9110 12.5.5 one", []string{"foo"}, []string{"Foo"}, ReasonNone},
		{"9110 12.5.5 any order and case, twice", []string{"foo, BAR ,", "bar"}, []string{"Bar", "Foo"}, ReasonNone},
		{"9110 12.5.5 empty lines", []string{"", " , "}, nil, ReasonNone},
		{"9110 12.5.5 star", []string{"*"}, nil, ReasonVaryStar},
		{"9110 12.5.5 two stars", []string{"*, *"}, nil, ReasonVaryStar},
		{"9110 12.5.5 stars on two lines", []string{"*", "*"}, nil, ReasonVaryStar},
		{"9110 12.5.5 nothing, then star", []string{", *"}, nil, ReasonVaryStar},
		{"9110 12.5.5 empty line, then star", []string{"", "*"}, nil, ReasonVaryStar},
		{"9110 12.5.5 star and a name", []string{"*, foo"}, nil, ReasonVaryStar},
		{"9110 12.5.5 a name and a star", []string{"foo, *"}, nil, ReasonVaryStar},
		{"9110 12.5.5 star beats what is malformed", []string{"a b, *"}, nil, ReasonVaryStar},
		{"9110 5.6.2 no token", []string{"a b"}, nil, ReasonMalformed},
		{"9110 5.6.2 quotes", []string{`"a"`}, nil, ReasonMalformed},
		{"too many names", []string{strings.Join(many, ",")}, nil, ReasonVaryLimit},
		{"as many as allowed", []string{strings.Join(many[1:], ",")}, nil, ReasonNone},
		{"too long names", []string{strings.Repeat("a", maxVaryBytes+1)}, nil, ReasonVaryLimit},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			s, reason := ParseVary(row.values)
			if reason != row.reason || s.Star != (reason == ReasonVaryStar) {
				t.Fatalf("%v %+v", reason, s)
			}
			if row.want != nil && !slices.Equal(s.Names, row.want) || reason != ReasonNone && s.Names != nil {
				t.Errorf("%v, want %v", s.Names, row.want)
			}
		})
	}
}

// Each row: requests that must share one variant, and requests that must not
// share it.
func TestVariants(t *testing.T) {
	rows := []struct {
		name  string
		vary  string
		same  [][]string
		other [][]string
	}{
		{
			"9111 4.1 the value", "Foo",
			[][]string{{"Foo: 1"}, {"Foo: 1", "Other: 2"}, {"foo: 1"}},
			[][]string{{"Foo: 2"}, nil, {"Foo: "}, {"Foo: 1, 1"}},
		},
		{"9111 4.1 absent", "Foo", [][]string{nil, {"Bar: 1"}}, [][]string{{"Foo: "}}},
		{
			"9111 4.1 three names", "Foo, Bar, Baz",
			[][]string{{"Foo: 1", "Baz: 789"}, {"Baz: 789", "Foo: 1"}},
			[][]string{{"Foo: 1", "Bar: abc", "Baz: 789"}, {"Foo: 1"}, {"Bar: 1", "Baz: 789"}, nil},
		},
		{
			"9111 4.1 lines and white space", "Foo",
			[][]string{{"Foo: 1, 2"}, {"Foo: 1", "Foo: 2"}, {"Foo:  1 ,2 "}, {"Foo: 1,2"}},
			[][]string{{"Foo: 2, 1"}, {"Foo: 1 2"}, {"Foo: 12"}, {"Foo: 1,,2"}},
		},
		{
			"9111 4.1 quoted commas", "Foo",
			[][]string{{`Foo: "1 , 2", 3`}, {`Foo: "1 , 2"`, "Foo: 3"}},
			[][]string{{`Foo: "1,2", 3`}},
		},
		{
			"9110 12.5.4 languages", "Accept-Language",
			[][]string{{"Accept-Language: en, de"}, {"Accept-Language: de, en"}, {"Accept-Language:  eN ,  De"}, {"Accept-Language: en;q=1.0", "Accept-Language: de;Q=1"}},
			[][]string{{"Accept-Language: en"}, {"Accept-Language: en, de;q=0.9"}, nil, {"Accept-Language: "}},
		},
		{
			"9110 12.4.2 weights", "Accept-Encoding",
			[][]string{{"Accept-Encoding: gzip;q=0.5, br"}, {"Accept-Encoding: BR,GZIP;q=0.500"}, {"Accept-Encoding: gzip ; q=0.5 , br;q=1.000"}},
			[][]string{{"Accept-Encoding: gzip;q=0.05, br"}, {"Accept-Encoding: gzip, br"}, {"Accept-Encoding: gzip;q=0, br"}},
		},
		{
			"9110 12.4.2 malformed weights stay as they are", "Accept-Encoding",
			[][]string{{"Accept-Encoding: br, gzip;q=2"}},
			[][]string{{"Accept-Encoding: gzip;q=2, br"}, {"Accept-Encoding: br, gzip"}},
		},
		{
			"9110 12.4.2 a name twice stays as it is", "Accept-Encoding",
			[][]string{{"Accept-Encoding: gzip, gzip;q=0"}},
			[][]string{{"Accept-Encoding: gzip;q=0, gzip"}, {"Accept-Encoding: gzip"}},
		},
		{
			"a value cannot pass for another line", "A, B",
			[][]string{{"A: 1", "B: 2"}},
			[][]string{{"A: 1\n v:b=2"}, {"A: 1%0A v:b=2"}, {"B: 2"}},
		},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			spec, reason := ParseVary([]string{row.vary})
			if reason != ReasonNone {
				t.Fatal(reason)
			}
			texts := map[string]bool{}
			text := func(lines []string) string {
				return string(spec.AppendVariant([]byte("k"), &Rule{}, get(lines...)))
			}
			want := text(row.same[0])
			if !strings.HasPrefix(want, "k\n v:") || strings.Count(want, "\n") != len(spec.Names) {
				t.Errorf("text %q", want)
			}
			for _, lines := range row.same[1:] {
				if got := text(lines); got != want {
					t.Errorf("%q: %q, want %q", lines, got, want)
				}
			}
			for _, lines := range row.other {
				got := text(lines)
				if got == want || texts[got] {
					t.Errorf("%q: %q is another variant's", lines, got)
				}
				texts[got] = true
			}
		})
	}
}

func TestLongListsStayAsTheyAre(t *testing.T) {
	list := make([]string, maxWeighted+1)
	for i := range list {
		list[i] = "x" + string(rune('a'+i))
	}
	spec := VarySpec{Names: []string{"Accept-Language"}}
	a := spec.AppendVariant(nil, &Rule{}, get("Accept-Language: "+strings.Join(list, ", ")))
	slices.Reverse(list)
	b := spec.AppendVariant(nil, &Rule{}, get("Accept-Language: "+strings.Join(list, ", ")))
	if bytes.Equal(a, b) {
		t.Error("the order of a list beyond the bound is lost")
	}
}

func TestChooseLanguage(t *testing.T) {
	rows := []struct {
		name, accept string
		available    []string
		want         int
	}{
		{"9110 12.5.4 the heaviest", "fr;q=0.5, de;q=1.0", []string{"de"}, 0},
		{"9110 12.5.4 among several", "fr;q=0.5, de;q=1.0", []string{"fr", "en", "de"}, 2},
		{"9110 12.5.4 only the second best", "fr;q=0.5, de", []string{"fr"}, -1},
		{"9110 12.5.4 equal weights", "en, de", []string{"de"}, 0},
		{"4647 3.3.1 a range covers its parts", "de", []string{"de-AT"}, 0},
		{"4647 3.3.1 not the other way", "de-AT", []string{"de"}, -1},
		{"4647 3.3.1 not half a subtag", "de", []string{"deu"}, -1},
		{"4647 3.3.1 any case", "DE", []string{"de"}, 0},
		{"9110 12.5.4 the longest range counts", "de, de-AT;q=0.1", []string{"de-AT"}, -1},
		{"9110 12.5.4 excluded", "de, de-AT;q=0", []string{"de-AT", "de-CH"}, 1},
		{"9110 12.5.4 anything is no choice", "*", []string{"de"}, -1},
		{"9110 12.5.4 nothing wanted", "de;q=0", []string{"de"}, -1},
		{"several languages", "de", []string{"de, en"}, -1},
		{"no language", "de", []string{""}, -1},
		{"malformed", "de;q=7", []string{"de"}, -1},
		{"empty", "", []string{"de"}, -1},
		{"nothing stored", "de", nil, -1},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			if got := ChooseLanguage(get("Accept-Language: "+row.accept), row.available); got != row.want {
				t.Errorf("%d, want %d", got, row.want)
			}
		})
	}
	if got := ChooseLanguage(get(), []string{"de"}); got != -1 {
		t.Error("a request that says nothing has a choice")
	}
}

// The way from a request to a variant that another request filled.
func TestVariantInChosenLanguage(t *testing.T) {
	spec := VarySpec{Names: []string{"Accept-Language", "Foo"}}
	first, second := get("Accept-Language: en, de", "Foo: 1"), get("Accept-Language: fr;q=0.5, de", "Foo: 1")
	stored := spec.AppendVariant(nil, &Rule{}, first)
	language, ok := AcceptLanguageText(nil, &Rule{}, first)
	if !ok || ChooseLanguage(second, []string{"de"}) != 0 {
		t.Fatal("no choice")
	}
	if got := spec.AppendVariantIn(nil, &Rule{}, second, language); !bytes.Equal(got, stored) {
		t.Errorf("%q, want %q", got, stored)
	}
	if got := spec.AppendVariantIn(nil, &Rule{}, get("Accept-Language: de", "Foo: 2"), language); bytes.Equal(got, stored) {
		t.Error("the other selecting field is not looked at")
	}
	if _, ok := AcceptLanguageText(nil, &Rule{}, get()); ok {
		t.Error("a request without the field has a text")
	}
}

func TestVaryEqual(t *testing.T) {
	a, _ := ParseVary([]string{"foo, bar"})
	b, _ := ParseVary([]string{"Bar", "FOO"})
	c, _ := ParseVary([]string{"foo"})
	if !a.Equal(b) || a.Equal(c) || c.Equal(VarySpec{}) || !(VarySpec{}).Equal(VarySpec{}) {
		t.Error("equal lists differ, or different ones are equal")
	}
}

func FuzzVary(f *testing.F) {
	for _, s := range []string{"Accept-Encoding", "a, b, a", "*", "a b", ",,", "Accept-Language, Foo"} {
		f.Add(s, "gzip;q=0.5, br", "en,de;q=0.1")
		f.Add(s, `"a, b`, "q=1;;")
	}
	f.Fuzz(func(t *testing.T, vary, one, two string) {
		spec, reason := ParseVary([]string{vary})
		if reason != ReasonNone {
			return
		}
		if !slices.IsSorted(spec.Names) || len(spec.Names) > MaxVaryNames {
			t.Fatal(spec.Names)
		}
		q := get()
		for _, name := range append(slices.Clone(spec.Names), "Accept-Language") {
			if !q.Fields.Has(name) {
				q.Fields = append(q.Fields, Field{name, one}, Field{name, two})
			}
		}
		text := spec.AppendVariant(nil, &Rule{}, q)
		if bytes.Count(text, []byte("\n")) != len(spec.Names) {
			t.Fatalf("%q", text)
		}
		for _, c := range text {
			if c != '\n' && (c < ' ' || c >= 0x7f) {
				t.Fatalf("%q", text)
			}
		}
		// A normalised value is its own normal form.
		for _, name := range []string{"Accept-Language", "Foo"} {
			once := appendSelecting(nil, &Rule{}, name, Fields{{name, one}})
			if bytes.Contains(once, []byte("%")) {
				continue // escapes are for the text, not for a field
			}
			if twice := appendSelecting(nil, &Rule{}, name, Fields{{name, string(once)}}); !bytes.Equal(once, twice) {
				t.Fatalf("%s %q: %q, then %q", name, one, once, twice)
			}
		}
		ChooseLanguage(q, []string{one, two, "de"})
	})
}

func BenchmarkAppendVariant(b *testing.B) {
	spec := VarySpec{Names: []string{"Accept-Encoding"}}
	q, dst, rule := get("Accept-Encoding: gzip, deflate, br, zstd"), make([]byte, 0, 256), &Rule{}
	b.ReportAllocs()
	for b.Loop() {
		spec.AppendVariant(dst, rule, q)
	}
}

func TestVaryRule(t *testing.T) {
	encodings := Rule{Vary: VaryRule{Encodings: []string{"br", "gzip"}}}
	languages := Rule{Vary: VaryRule{Languages: []string{"en", "de"}}}
	for _, tt := range []struct {
		name  string
		rule  Rule
		lines []string
		sent  string // to the origin; "-" for as it came
		key   string
	}{
		{"everything", Rule{}, []string{"Accept-Encoding: GZIP, br;q=0.5"}, "-", "accept-encoding=gzip,br;q=0.5"},
		{"raw", Rule{Vary: VaryRule{Raw: true}}, []string{"Accept-Encoding: GZIP , br;q=0.5"}, "-", "accept-encoding=GZIP,br;q=0.5"},
		{"some codings", encodings, []string{"Accept-Encoding: zstd, GZip, deflate, br"}, "br,gzip", "accept-encoding=br,gzip"},
		{"weights stay", encodings, []string{"Accept-Encoding: br;q=0.1, zstd", "Accept-Encoding: gzip"}, "gzip,br;q=0.1", "accept-encoding=gzip,br;q=0.1"},
		{"none of them", encodings, []string{"Accept-Encoding: zstd, *"}, "", "accept-encoding="},
		{"not the start of a name", encodings, []string{"Accept-Encoding: gzip-9"}, "", "accept-encoding="},
		{"no field", encodings, nil, "-", "accept-encoding"},
		{"no list", encodings, []string{"Accept-Encoding: gzip;level=9"}, "-", "accept-encoding=gzip;level=9"},
		{"regions", languages, []string{"Accept-Language: de-CH, fr;q=0.9, en-GB;q=0.8, de;q=0.7, *;q=0.1"}, "de,en;q=0.8", "accept-language=de,en;q=0.8"},
		{"order after regions", languages, []string{"Accept-Language: en-GB, de-CH"}, "de,en", "accept-language=de,en"},
		{"another language", languages, []string{"Accept-Language: den, e"}, "", "accept-language="},
		{"ignored", Rule{Vary: VaryRule{Ignore: []string{"Accept-Encoding"}}}, []string{"Accept-Encoding: gzip"}, "-", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			name := "Accept-Encoding"
			if strings.Contains(tt.key, "language") {
				name = "Accept-Language"
			}
			q := get(tt.lines...)
			spec, _ := ParseVary([]string{name})
			want := ""
			if tt.key != "" {
				want = "\n v:" + tt.key
			}
			if got := string(spec.Counting(&tt.rule).AppendVariant(nil, &tt.rule, q)); got != want {
				t.Errorf("variant %q, want %q", got, want)
			}
			sent, ok := Narrowed(nil, &tt.rule, name, q.Fields)
			if !ok {
				sent = []byte("-")
			}
			if string(sent) != tt.sent {
				t.Errorf("the origin is sent %q, want %q", sent, tt.sent)
			}
		})
	}
}

// What is in the key selects nothing; what names the client hinders storing.
func TestVaryOnTheKey(t *testing.T) {
	for _, c := range []struct {
		rule Rule
		vary string
		want string
		why  Reason
	}{
		{Rule{}, "Accept-Encoding, X-Forwarded-Proto", "Accept-Encoding", ReasonNone},
		{Rule{}, "Host, X-Forwarded-Host, X-Forwarded-Port, X-Forwarded-Prefix, X-Forwarded-Ssl", "", ReasonNone},
		{Rule{}, "X-Original-URL, X-HTTP-Method-Override, Connection, TE, Proxy, Content-Length", "", ReasonNone},
		{Rule{}, "X-Forwarded-For", "", ReasonVaryForwarded},
		{Rule{}, "Accept, Forwarded", "", ReasonVaryForwarded},
		{Rule{}, "Via", "", ReasonVaryForwarded},
		{Rule{}, "X-Real-IP", "", ReasonVaryForwarded},
		{Rule{}, "True-Client-IP", "", ReasonVaryForwarded},
		{Rule{Vary: VaryRule{Ignore: []string{"X-Real-Ip"}}}, "X-Real-IP", "", ReasonNone},
		{Rule{Key: KeySpec{Headers: []string{"X-Forwarded-For"}}}, "X-Forwarded-For", "", ReasonNone},
		{Rule{Key: KeySpec{Headers: []string{"X-Tenant"}}}, "X-Tenant, Accept", "Accept", ReasonNone},
		{Rule{}, "Cookie", "Cookie", ReasonNone},
		{Rule{Cookies: CookiesStrip}, "Cookie", "", ReasonNone},
		{Rule{}, "X-Forwarded", "", ReasonNone},
		{Rule{}, "*", "", ReasonVaryStar},
	} {
		rule := mustSet(t, c.rule).Rules()[0]
		s := Decide(rule, get(), answer(200, "Cache-Control: max-age=60", "Vary: "+c.vary))
		if s.Reason != c.why || c.why == ReasonNone && strings.Join(s.Vary.Names, ", ") != c.want {
			t.Errorf("Vary: %s gives %s and %q, want %s and %q", c.vary, s.Reason, s.Vary.Names, c.why, c.want)
		}
	}
}
