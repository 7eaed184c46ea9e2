package policy

import (
	"net/netip"
	"strings"
	"testing"
)

func TestForwarded(t *testing.T) {
	lb := Sender{Addr: netip.MustParseAddr("10.0.0.1"), Scheme: "http", Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	anybody := Sender{Addr: netip.MustParseAddr("192.0.2.66"), Scheme: "http", Proxies: lb.Proxies}
	keyed := KeySpec{Headers: []string{"X-Forwarded-Host"}}
	for _, c := range []struct {
		name  string
		from  Sender
		key   KeySpec
		lines []string
		// scheme, then X-Forwarded-For, X-Forwarded-Host and Forwarded.
		scheme, xff, host, forwarded string
	}{
		{
			"others begin the chain", anybody, keyed,
			[]string{"X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil", "Forwarded: for=6.6.6.6;proto=https;host=evil"},
			"http", "192.0.2.66", "a.example", "for=192.0.2.66;host=a.example;proto=http",
		},
		{
			"X-Forwarded-For and -Proto", lb,
			KeySpec{},
			[]string{"X-Forwarded-For: 203.0.113.9, 10.1.1.1", "X-Forwarded-Proto: https"},
			"https", "203.0.113.9, 10.1.1.1, 10.0.0.1", "a.example",
			"for=203.0.113.9;proto=https, for=10.1.1.1;proto=https, for=10.0.0.1;host=a.example;proto=https",
		},
		{
			"Forwarded only", lb,
			KeySpec{},
			[]string{`Forwarded: for="[2001:db8::7]:4711";proto=https;by=203.0.113.43;host=evil`},
			"https", "2001:db8::7, 10.0.0.1", "a.example",
			`for="[2001:db8::7]";proto=https, for=10.0.0.1;host=a.example;proto=https`,
		},
		{
			"several lines, odd case and white space", lb,
			KeySpec{},
			[]string{"Forwarded: For=192.0.2.1 ; PROTO=HTTP ,", "Forwarded: for=\"192.0.2.2\";proto=\"htt\\ps\""},
			"https", "192.0.2.1, 192.0.2.2, 10.0.0.1", "a.example",
			"for=192.0.2.1;proto=https, for=192.0.2.2;proto=https, for=10.0.0.1;host=a.example;proto=https",
		},
		{
			"the nearest word", lb,
			KeySpec{},
			[]string{"X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: http, https"},
			"https", "192.0.2.1, 10.0.0.1", "a.example", "for=192.0.2.1;proto=https, for=10.0.0.1;host=a.example;proto=https",
		},
		{
			"the word of a trusted one further off", lb,
			KeySpec{},
			[]string{"Forwarded: for=192.0.2.1;proto=https, for=10.2.2.2"},
			"https", "192.0.2.1, 10.2.2.2, 10.0.0.1", "a.example",
			"for=192.0.2.1;proto=https, for=10.2.2.2;proto=https, for=10.0.0.1;host=a.example;proto=https",
		},
		{
			"not that of one who is not", lb,
			KeySpec{},
			[]string{"Forwarded: for=10.9.9.9;proto=https, for=192.0.2.1"},
			"http", "10.9.9.9, 192.0.2.1, 10.0.0.1", "a.example",
			"for=10.9.9.9;proto=http, for=192.0.2.1;proto=http, for=10.0.0.1;host=a.example;proto=http",
		},
		{
			"X-Forwarded-Proto before Forwarded", lb,
			KeySpec{},
			[]string{"X-Forwarded-Proto: http", "Forwarded: for=192.0.2.1;proto=https"},
			"http", "192.0.2.1, 10.0.0.1", "a.example", "for=192.0.2.1;proto=http, for=10.0.0.1;host=a.example;proto=http",
		},
		{
			"two that contradict each other", lb,
			KeySpec{},
			[]string{"X-Forwarded-For: 192.0.2.1", "Forwarded: for=6.6.6.6;proto=https"},
			"http", "192.0.2.1, 10.0.0.1", "a.example", "for=192.0.2.1;proto=http, for=10.0.0.1;host=a.example;proto=http",
		},
		{
			"two that agree", lb,
			KeySpec{},
			[]string{"X-Forwarded-For: 192.0.2.1", "Forwarded: for=\"192.0.2.1:99\";proto=https"},
			"https", "192.0.2.1, 10.0.0.1", "a.example", "for=192.0.2.1;proto=https, for=10.0.0.1;host=a.example;proto=https",
		},
		{
			"no address", lb,
			KeySpec{},
			[]string{"X-Forwarded-For: unknown, _hidden, 2001:db8::1, \"x;y\""},
			"http", "unknown, _hidden, 2001:db8::1, \"x;y\", 10.0.0.1", "a.example",
			`for=unknown;proto=http, for=_hidden;proto=http, for="[2001:db8::1]";proto=http, for=unknown;proto=http, for=10.0.0.1;host=a.example;proto=http`,
		},
		{
			"no client in an element", lb,
			KeySpec{},
			[]string{"Forwarded: proto=https"},
			"https", "unknown, 10.0.0.1", "a.example", "for=unknown;proto=https, for=10.0.0.1;host=a.example;proto=https",
		},
		{
			"malformed", lb,
			KeySpec{},
			[]string{`Forwarded: for="192.0.2.1;proto=https`},
			"http", "10.0.0.1", "a.example", "for=10.0.0.1;host=a.example;proto=http",
		},
		{
			"neither http nor https", lb,
			KeySpec{},
			[]string{"X-Forwarded-Proto: wss"},
			"http", "10.0.0.1", "a.example", "for=10.0.0.1;host=a.example;proto=http",
		},
		{
			"a host that the key does not hold", lb,
			KeySpec{},
			[]string{"X-Forwarded-Host: evil.test", "Forwarded: host=evil.test"},
			"http", "unknown, 10.0.0.1", "a.example", "for=unknown;proto=http, for=10.0.0.1;host=a.example;proto=http",
		},
		{
			"a host that the key holds", lb, keyed,
			[]string{"X-Forwarded-Host: old.example, www.example"},
			"http", "10.0.0.1", "www.example", "for=10.0.0.1;host=www.example;proto=http",
		},
		{
			"the same in Forwarded", lb, keyed,
			[]string{"Forwarded: for=192.0.2.1;host=\"www.example:81\""},
			"http", "192.0.2.1, 10.0.0.1", "www.example:81", `for=192.0.2.1;proto=http, for=10.0.0.1;host="www.example:81";proto=http`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, q, ok := seen(c.from.Trusted(), append(c.lines, "Via: 1.0 a", "Via: 1.1 b")...)
			if !ok {
				t.Fatal(v.Fault)
			}
			if q.Scheme = v.Scheme(&c.from); q.Scheme != c.scheme {
				t.Errorf("scheme %s, want %s", q.Scheme, c.scheme)
			}
			rule := mustSet(t, Rule{Key: c.key}).Rules()[0]
			v.Settle(rule, q)
			for range 2 {
				v.Forwarded(q, rule, &c.from, "1.1", "weir")
			}
			want := strings.Join([]string{
				"X-Forwarded-For: " + c.xff, "X-Forwarded-Proto: " + c.scheme, "X-Forwarded-Host: " + c.host,
				"Forwarded: " + c.forwarded, "Via: 1.0 a, 1.1 b, 1.1 weir", "",
			}, "\n")
			if got := linesOf(q.Fields); got != want {
				t.Errorf("the origin gets\n%swant\n%s", got, want)
			}
		})
	}
}

// Whatever arrives as Forwarded, what is made of it parses again and says the
// same.
func FuzzForwarded(f *testing.F) {
	for _, s := range []string{"for=1.2.3.4;proto=https, for=\"[::1]:80\"", "for=_a;by=x", "a=b;;,,", `for="a\"b"`} {
		f.Add(s, s)
	}
	from := Sender{Addr: netip.MustParseAddr("10.0.0.1"), Scheme: "http", Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	f.Fuzz(func(t *testing.T, forwarded, xff string) {
		v, q, ok := seen(true, "Forwarded: "+forwarded, "X-Forwarded-For: "+xff)
		if !ok {
			return
		}
		q.Scheme = v.Scheme(&from)
		v.Forwarded(q, nil, &from, "1.1", "weir")
		list, ok := appendElements(nil, q.Fields.Get("Forwarded"))
		if !ok || len(list) == 0 {
			t.Fatalf("%q does not parse", q.Fields.Get("Forwarded"))
		}
		var chain []string
		for rest := q.Fields.Get("X-Forwarded-For"); rest != ""; {
			var node string
			if node, rest = cutComma(rest); trim(node) != "" {
				chain = append(chain, trim(node))
			}
		}
		if len(chain) != len(list) {
			t.Fatalf("%q and %q are of different lengths", chain, list)
		}
		for i := range chain {
			a, known := nodeAddr(chain[i])
			b, said := nodeAddr(list[i].node)
			if known != said || a != b || list[i].proto != q.Scheme {
				t.Fatalf("%q and %+v contradict each other", chain[i], list[i])
			}
		}
	})
}
