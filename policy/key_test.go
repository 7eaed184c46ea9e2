package policy

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var updateKeys = flag.Bool("update", false, "write what the code gives into testdata/keys and docs/keys.md")

const (
	vectorsFile = "testdata/keys/vectors.json"
	keysDoc     = "../docs/keys.md"
)

// keyVector is one published example: what was sent and under which rule, and
// the key that every node and every version must give.
type keyVector struct {
	Name   string      `json:"name"`
	Scheme string      `json:"scheme"`
	Host   string      `json:"host"`
	Target string      `json:"target"`
	Header [][2]string `json:"header,omitempty"`
	Rule   vectorRule  `json:"rule"`
	Text   string      `json:"text"`
	Hash   string      `json:"hash"`
}

type vectorRule struct {
	Name    string   `json:"name,omitempty"`
	Match   string   `json:"match_header,omitempty"`
	Only    []string `json:"only,omitempty"`
	Ignore  []string `json:"ignore,omitempty"`
	Sort    bool     `json:"sort,omitempty"`
	None    bool     `json:"none,omitempty"`
	Headers []string `json:"headers,omitempty"`
	Cookies []string `json:"cookies,omitempty"`
}

func (v *keyVector) compute(t *testing.T) (text []byte, hash Hash) {
	t.Helper()
	host, err := ParseHost(nil, []byte(v.Host), v.Scheme)
	if err != nil {
		t.Fatalf("%s: %v", v.Name, err)
	}
	target, err := SplitTarget([]byte(v.Target))
	if err != nil {
		t.Fatalf("%s: %v", v.Name, err)
	}
	h := keyHeader{}
	for _, f := range v.Header {
		h = h.add(f[0], f[1])
	}
	rule := Rule{Name: v.Rule.Name, Key: KeySpec{
		QueryOnly: v.Rule.Only, QueryIgnore: v.Rule.Ignore, SortQuery: v.Rule.Sort, NoQuery: v.Rule.None,
		Headers: v.Rule.Headers, Cookies: v.Rule.Cookies,
	}}
	if v.Rule.Match != "" {
		rule.Match.Headers = []HeaderMatch{{Name: v.Rule.Match}}
	}
	q := Request{Method: "GET", Scheme: v.Scheme, Host: host, Path: target.Path, Query: target.Query, Fields: Fields(h)}
	r := mustSet(t, rule).Match(&q)
	if r == nil {
		t.Fatalf("%s: the rule does not fit", v.Name)
	}
	text = r.AppendKey(nil, &q)
	return text, HashKey(text)
}

func readVectors(t *testing.T) []keyVector {
	t.Helper()
	data, err := os.ReadFile(vectorsFile)
	if err != nil {
		t.Fatal(err)
	}
	var vectors []keyVector
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&vectors); err != nil {
		t.Fatal(err)
	}
	return vectors
}

func TestKeyVectors(t *testing.T) {
	vectors := readVectors(t)
	if len(vectors) < 30 {
		t.Fatalf("only %d vectors", len(vectors))
	}
	for i := range vectors {
		v := &vectors[i]
		text, hash := v.compute(t)
		if *updateKeys {
			v.Text, v.Hash = string(text), hash.String()
			continue
		}
		if string(text) != v.Text {
			t.Errorf("%s: text %q, published %q", v.Name, text, v.Text)
		}
		if hash.String() != v.Hash {
			t.Errorf("%s: hash %s, published %s", v.Name, hash, v.Hash)
		}
	}
	if *updateKeys {
		var out bytes.Buffer
		e := json.NewEncoder(&out)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		if err := e.Encode(vectors); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(vectorsFile, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// The handbook shows the vectors themselves, not a copy that ages.
func TestKeysDocAgrees(t *testing.T) {
	const begin, end = "<!-- vectors: written by go test -run Key ./policy -update -->\n", "<!-- end of vectors -->\n"
	doc, err := os.ReadFile(keysDoc)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(doc), begin)
	published, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the vectors", keysDoc)
	}
	table := vectorTable(readVectors(t))
	if *updateKeys {
		if err := os.WriteFile(keysDoc, []byte(before+begin+table+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if published != table {
		t.Errorf("%s shows\n%s\nand not\n%s", keysDoc, published, table)
	}
}

func vectorTable(vectors []keyVector) string {
	var b strings.Builder
	b.WriteString("| what | request | key settings | text | hash |\n|---|---|---|---|---|\n")
	code := func(s string) string {
		return "`` " + strings.ReplaceAll(s, "|", "\\|") + " ``"
	}
	for _, v := range vectors {
		request := []string{code(fmt.Sprintf("%s, Host: %s, %s", v.Scheme, v.Host, v.Target))}
		for _, f := range v.Header {
			request = append(request, code(f[0]+": "+f[1]))
		}
		settings := "-"
		if rule, _ := json.Marshal(v.Rule); string(rule) != "{}" {
			settings = code(string(rule))
		}
		var text []string
		for _, line := range strings.Split(v.Text, "\n") {
			text = append(text, code(line))
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | `%s` |\n",
			v.Name, strings.Join(request, "<br>"), settings, strings.Join(text, "<br>"), v.Hash)
	}
	return b.String()
}

// keyInput is what the properties below draw. The model beside it says the
// same as a key text in another way: two inputs are the same for the rule when
// their models are equal.
type keyInput struct {
	scheme, host, path string
	query              *string
	headers            []string // values of X-A
	cookies            []string // values of the cookie "id"
	other              string   // value of a field that is not in the key
}

func (in *keyInput) request() *Request {
	h := keyHeader{}
	for _, v := range in.headers {
		h = h.add("X-A", v)
	}
	var pairs []string
	for _, v := range in.cookies {
		pairs = append(pairs, "x="+in.other, "id="+v)
	}
	if len(pairs) > 0 {
		h = h.add("Cookie", strings.Join(pairs, "; "))
	}
	h = h.add("X-Other", in.other)
	q := &Request{Method: "GET", Scheme: in.scheme, Host: []byte(in.host), Path: []byte(in.path), Fields: Fields(h)}
	if in.query != nil {
		q.Query = append([]byte{}, *in.query...)
	}
	return q
}

var uriPiece = regexp.MustCompile(`(?s)%[0-9A-Fa-f]{2}|.`)

// spelling splits a path or a query into its characters, each in the one
// spelling that RFC 3986 prefers.
func spelling(s string) (pieces []string) {
	// Latin-1 gives each byte a rune of its own.
	var latin strings.Builder
	for i := range len(s) {
		latin.WriteRune(rune(s[i]))
	}
	for _, p := range uriPiece.FindAllString(latin.String(), -1) {
		var c rune
		if len(p) == 3 {
			fmt.Sscanf(p[1:], "%x", &c)
		} else {
			c = []rune(p)[0]
			if c > ' ' && c < 0x7f {
				pieces = append(pieces, string(c))
				continue
			}
		}
		if c < 0x80 && regexp.MustCompile(`^[A-Za-z0-9._~-]$`).MatchString(string(c)) {
			pieces = append(pieces, string(c))
		} else {
			pieces = append(pieces, fmt.Sprintf("%%%02X", c))
		}
	}
	return pieces
}

// model is what a text must tell apart. A JSON string cannot run together.
func (in *keyInput) model(spec *KeySpec) string {
	m := map[string]any{
		"scheme": in.scheme, "host": in.host, "path": spelling(in.path), "headers": in.headers, "cookies": in.cookies,
	}
	if in.query != nil && !spec.NoQuery {
		if q := modelQuery(*in.query, spec); q != nil {
			m["query"] = q
		}
	}
	out, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return string(out)
}

func modelQuery(query string, spec *KeySpec) any {
	if !spec.SortQuery && len(spec.QueryIgnore) == 0 {
		return spelling(query)
	}
	type item struct {
		name   string
		pieces []string
	}
	var items []item
	for _, p := range strings.Split(query, "&") {
		name, _, _ := strings.Cut(p, "=")
		name = string(percentDecoded([]byte(strings.ReplaceAll(name, "+", " "))))
		ignored := slices.ContainsFunc(spec.QueryIgnore, func(g string) bool { return globModel(g).MatchString(name) })
		if p == "" || ignored && !strings.Contains(p, ";") {
			continue
		}
		items = append(items, item{name, spelling(p)})
	}
	if spec.SortQuery {
		slices.SortStableFunc(items, func(a, b item) int { return strings.Compare(a.name, b.name) })
	}
	if len(items) == 0 {
		return nil
	}
	var out [][]string
	for _, i := range items {
		out = append(out, i.pieces)
	}
	return out
}

func drawKeyInput(t *rapid.T, label string) *keyInput {
	text := func(pieces ...string) string {
		return strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 4).Draw(t, label), "")
	}
	in := &keyInput{
		scheme: rapid.SampledFrom([]string{"http", "https"}).Draw(t, label+" scheme"),
		host:   rapid.SampledFrom([]string{"a", "ab", "a:81", "[::1]"}).Draw(t, label+" host"),
		path:   "/" + text("b", "/", "%2f", "%2F", "%62", "%", "4", "1", "%31", "\xe9", "%e9", "%3f", "\n h:x-a=b", "."),
		other:  rapid.SampledFrom([]string{"", "b"}).Draw(t, label+" other"),
	}
	if rapid.Bool().Draw(t, label+" has query") {
		q := text("a", "b", "a=1", "b=2", "&", "=", "%61", "+", "%20", "u_x", "%75_x", "%", "4", "%31", ";", "?", "\xe9")
		in.query = &q
	}
	value := rapid.SampledFrom([]string{"", "b", "a%", "%25", "b\n h:x-a=b", "b, b", "\xe9", "%E9"})
	in.headers = rapid.SliceOfN(value, 0, 2).Draw(t, label+" headers")
	in.cookies = rapid.SliceOfN(rapid.SampledFrom([]string{"", "b", "b=b", "%0A", "\n", "\"b\""}), 0, 2).Draw(t, label+" cookies")
	return in
}

var propertySpecs = []KeySpec{
	{Headers: []string{"x-a"}, Cookies: []string{"id"}},
	{Headers: []string{"x-a"}, Cookies: []string{"id"}, NoQuery: true},
	{Headers: []string{"x-a"}, Cookies: []string{"id"}, SortQuery: true},
	{Headers: []string{"x-a"}, Cookies: []string{"id"}, QueryIgnore: []string{"u_*"}},
	{Headers: []string{"x-a"}, Cookies: []string{"id"}, QueryIgnore: []string{"u_*"}, SortQuery: true},
}

// strayMark finds a "%" that begins no triplet. Such a text is no URI, and two
// spellings of it may get two keys: that costs a fetch and misleads nobody.
func strayMark(s string) bool {
	return strings.Contains(regexp.MustCompile(`%[0-9A-Fa-f]{2}`).ReplaceAllString(s, ""), "%") ||
		regexp.MustCompile(`%([^0-9A-Fa-f]|.[^0-9A-Fa-f]|.?$)`).MatchString(s)
}

// Two requests have one text when, and only when, they are the same for the
// rule.
func TestKeyTellsApart(t *testing.T) {
	// Pairs that nearly meet are rare; a hundred draws would miss them.
	for range 30 {
		rapid.Check(t, checkKeyTellsApart)
	}
}

func checkKeyTellsApart(t *rapid.T) {
	spec := rapid.SampledFrom(propertySpecs).Draw(t, "spec")
	set, err := NewSet([]Rule{{Name: "a", Origin: "o", Key: spec}})
	if err != nil {
		t.Fatal(err)
	}
	rule := set.Rules()[0]
	a, b := drawKeyInput(t, "a"), drawKeyInput(t, "b")
	// Two inputs drawn apart are rarely close to each other.
	for i, take := range rapid.SliceOfN(rapid.Bool(), 6, 6).Draw(t, "same") {
		if !take {
			continue
		}
		switch i {
		case 0:
			b.scheme = a.scheme
		case 1:
			b.host = a.host
		case 2:
			b.path = a.path
		case 3:
			b.query = a.query
		case 4:
			b.headers = a.headers
		case 5:
			b.cookies = a.cookies
		}
	}
	textA, textB := rule.AppendKey(nil, a.request()), rule.AppendKey(nil, b.request())
	modelA, modelB := a.model(&spec), b.model(&spec)
	if bytes.Equal(textA, textB) && modelA != modelB {
		t.Fatalf("one text for two requests: %q\n%s\n%s", textA, modelA, modelB)
	}
	stray := strayMark(a.path) || strayMark(b.path)
	for _, in := range []*keyInput{a, b} {
		stray = stray || in.query != nil && strayMark(*in.query)
	}
	if !bytes.Equal(textA, textB) && modelA == modelB && !stray {
		t.Fatalf("two texts for one request: %q %q\n%s", textA, textB, modelA)
	}
}

// The URI in a key, taken for a request, has that same key.
func FuzzAppendKey(f *testing.F) {
	f.Add("http", []byte("a.example"), []byte("/a%2fb"), []byte("b=1&a=%7e"), []byte("v"), []byte("id=1; id"), uint8(0))
	f.Add("https", []byte("[::1]:8080"), []byte("*"), []byte(nil), []byte("\n h:x"), []byte(";;"), uint8(2))
	f.Add("", []byte("a/b?c"), []byte("x"), []byte("%%341&u_x;a"), []byte{}, []byte("="), uint8(4))
	f.Fuzz(func(t *testing.T, scheme string, host, path, query, value, cookie []byte, which uint8) {
		set, err := NewSet([]Rule{{Name: "a", Origin: "o", Key: propertySpecs[int(which)%len(propertySpecs)]}})
		if err != nil {
			t.Fatal(err)
		}
		rule := set.Rules()[0]
		h := keyHeader{{"X-A", string(value)}, {"Cookie", string(cookie)}}
		q := Request{Scheme: scheme, Host: host, Path: path, Query: query, Fields: Fields(h)}
		text := rule.AppendKey(nil, &q)
		lines := bytes.Split(text, []byte("\n"))
		for i, line := range lines {
			if i == 0 && (!bytes.HasPrefix(line, []byte("w1 ")) || !printable(line[3:])) {
				t.Fatalf("first line %q", line)
			}
			if i > 0 && (line[0] != ' ' || bytes.ContainsFunc(line, func(c rune) bool { return c < ' ' || c >= 0x7f })) {
				t.Fatalf("line %q", line)
			}
		}
		if got := rule.AppendKey([]byte("dst"), &q); string(got) != "dst"+string(text) {
			t.Fatalf("appended %q, alone %q", got, text)
		}
		// Only what the proxy lets through stands for itself in the text.
		_, err = ParseHost(nil, host, scheme)
		if err != nil || scheme != "http" || len(path) == 0 || path[0] != '/' || bytes.IndexByte(path, '?') >= 0 {
			return
		}
		uri := lines[0][3:]
		uri = uri[len("http://")+len(host):]
		target, err := SplitTarget(uri)
		if err != nil {
			t.Fatalf("%q in %q: %v", uri, text, err)
		}
		q.Path, q.Query = target.Path, target.Query
		if again := rule.AppendKey(nil, &q); !bytes.Equal(again, text) {
			t.Fatalf("%q becomes %q", text, again)
		}
	})
}

func TestKeyOfUnsoundRequests(t *testing.T) {
	// None of these comes out of ParseHost and SplitTarget; still no two share
	// a text.
	seen := map[string]Request{}
	rule := mustSet(t, Rule{}).Rules()[0]
	for _, q := range []Request{
		{Scheme: "http", Host: []byte("a"), Path: []byte("/b?c")},
		{Scheme: "http", Host: []byte("a"), Path: []byte("/b"), Query: []byte("c")},
		{Scheme: "http", Host: []byte("a"), Path: []byte("b")},
		{Scheme: "http", Host: []byte("ab"), Path: []byte("/")},
		{Scheme: "http", Host: []byte("a"), Path: []byte("*")},
		{Scheme: "http", Host: []byte("a"), Path: []byte("*b")},
		{Scheme: "http", Host: []byte("a"), Path: []byte("**")},
		{Scheme: "http", Host: []byte("a*"), Path: []byte("*")},
		{Scheme: "http", Host: []byte("a/b"), Path: []byte("/")},
		{Scheme: "http", Host: []byte("a"), Path: []byte("/b/")},
		{Scheme: "http://a", Host: []byte("a"), Path: []byte("/")},
		{Scheme: "http", Host: []byte("a://a"), Path: []byte("/")},
		{Scheme: "", Host: []byte(""), Path: []byte("/")},
	} {
		text := string(rule.AppendKey(nil, &q))
		if other, ok := seen[text]; ok {
			t.Errorf("%+v and %+v share %q", q, other, text)
		}
		seen[text] = q
	}
}

var keyCases = map[string]struct {
	spec  KeySpec
	query string
}{
	"plain":    {KeySpec{}, "w=640&h=480&v=20240101"},
	"filtered": {KeySpec{QueryIgnore: []string{"utm_*", "gclid", "fbclid"}}, "w=640&utm_source=news&%75tm_medium=mail&h=480"},
	"sorted":   {KeySpec{SortQuery: true}, "w=640&utm_source=news&%75tm_medium=mail&h=480"},
	"sorted32": {KeySpec{SortQuery: true, QueryIgnore: []string{"x"}}, strings.Repeat("b=1&%61=2&a=3&c+d=4&", 8) + "x"},
	"fields":   {KeySpec{Headers: []string{"Accept-Language", "X-Tenant"}, Cookies: []string{"segment", "theme"}}, ""},
}

func keyCase(t testing.TB, name string) (*Rule, *Request) {
	rule := mustSet(t, Rule{Key: keyCases[name].spec}).Rules()[0]
	h := keyHeader{}.add("Accept-Language", "de-DE,de;q=0.9").add("X-Tenant", "blue").
		add("Cookie", "a=b; segment=gold; _ga=GA1.2.3; theme=dark")
	return rule, &Request{
		Method: "GET", Scheme: "https", Host: []byte("www.example.com"),
		Path: []byte("/products/4711/images/front%20view.jpg"), Query: []byte(keyCases[name].query), Fields: Fields(h),
	}
}

func TestAppendKeyAllocatesNothing(t *testing.T) {
	buf := make([]byte, 0, 1024)
	for name := range keyCases {
		rule, q := keyCase(t, name)
		if n := testing.AllocsPerRun(100, func() { rule.AppendKey(buf[:0], q) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkAppendKey(b *testing.B) {
	buf := make([]byte, 0, 1024)
	for name := range keyCases {
		rule, q := keyCase(b, name)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				rule.AppendKey(buf[:0], q)
			}
		})
	}
}
