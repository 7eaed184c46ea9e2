package proxy

import (
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var testTrusted = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8:1::/48"), netip.MustParsePrefix("fe80::/10"),
}

func TestClientAddress(t *testing.T) {
	const front = "10.0.0.1" // the sender, unless a row names another
	for _, c := range []struct {
		name, sender   string
		xff, forwarded []string
		want           string
	}{
		{"nobody speaks for another", front, nil, nil, front},
		{"one hop", front, []string{"203.0.113.9"}, nil, "203.0.113.9"},
		{"who is not trusted speaks for nobody", "192.0.2.1", []string{"203.0.113.9"}, []string{"for=203.0.113.9"}, "192.0.2.1"},
		{"what a client wrote itself", front, []string{"6.6.6.6, 203.0.113.9"}, nil, "203.0.113.9"},
		{"several trusted hops", front, []string{"203.0.113.9, 10.0.0.3,10.0.0.2"}, nil, "203.0.113.9"},
		{"the last that is not trusted, not the first", front, []string{"203.0.113.9, 198.51.100.7, 10.0.0.2"}, nil, "198.51.100.7"},
		{"all are trusted", front, []string{"10.0.0.3, 10.0.0.2"}, nil, "10.0.0.3"},
		{"lines are one list", front, []string{"6.6.6.6", "203.0.113.9 ,\t10.0.0.2"}, nil, "203.0.113.9"},
		{"empty elements", front, []string{",203.0.113.9, ,", "", " , "}, nil, "203.0.113.9"},
		{"with a port", front, []string{"203.0.113.9:41234"}, nil, "203.0.113.9"},
		{"IPv6", front, []string{"2001:db8::9"}, nil, "2001:db8::9"},
		{"IPv6 in brackets", front, []string{"[2001:db8::9]"}, nil, "2001:db8::9"},
		{"IPv6 with a port", front, []string{"[2001:db8::9]:443, [2001:db8:1::2]:80"}, nil, "2001:db8::9"},
		{"IPv4 in IPv6", front, []string{"203.0.113.9, ::ffff:10.0.0.2"}, nil, "203.0.113.9"},
		{"a sender in IPv6's form", "::ffff:10.0.0.1", []string{"203.0.113.9"}, nil, "203.0.113.9"},
		{"zones", "fe80::1%eth0", []string{"203.0.113.9, fe80::2%25eth1"}, nil, "203.0.113.9"},
		{"unknown", front, []string{"203.0.113.9, unknown, 10.0.0.2"}, nil, "10.0.0.2"},
		{"garbage", front, []string{"203.0.113.9, %%, 10.0.0.2"}, nil, "10.0.0.2"},
		{"garbage beyond the client", front, []string{`", ', 999.1.1.1, 203.0.113.9`}, nil, "203.0.113.9"},
		{"a port that is none", front, []string{"203.0.113.9:http"}, nil, front},
		{"a port without end", front, []string{"203.0.113.9:123456"}, nil, front},
		{"a name", front, []string{"client.example"}, nil, front},
		{"leading zeros", front, []string{"203.0.113.009"}, nil, front},
		{"a bracket that is not closed", front, []string{"[2001:db8::9"}, nil, front},
		{"IPv4 in brackets", front, []string{"[203.0.113.9]"}, nil, front},
		{"IPv4 with a zone", front, []string{"203.0.113.9%eth0"}, nil, front},

		{"Forwarded", front, nil, []string{"for=203.0.113.9"}, "203.0.113.9"},
		{"Forwarded in another case", front, nil, []string{"by=10.0.0.1; FOR = 203.0.113.9 ;proto=https"}, "203.0.113.9"},
		{"Forwarded, several hops", front, nil, []string{"for=6.6.6.6, for=203.0.113.9;by=10.0.0.9", "for=10.0.0.2"}, "203.0.113.9"},
		{"Forwarded, quoted", front, nil, []string{`for="[2001:db8::9]:4711", for="10.0.0.2:_port"`}, "2001:db8::9"},
		{"Forwarded, a comma in quotes", front, nil, []string{`for=203.0.113.9;host="a, for=6.6.6.6"`}, "203.0.113.9"},
		{"Forwarded, an escaped quote", front, nil, []string{`for=203.0.113.9;host="a\", for=6.6.6.6"`}, "203.0.113.9"},
		{"Forwarded, unknown", front, nil, []string{"for=203.0.113.9, for=unknown"}, front},
		{"Forwarded, obfuscated", front, nil, []string{"for=203.0.113.9, for=_hidden, for=10.0.0.2"}, "10.0.0.2"},
		{"Forwarded without for", front, nil, []string{"proto=https"}, front},
		{"Forwarded, for twice", front, nil, []string{"for=203.0.113.9;for=198.51.100.7"}, front},
		{"Forwarded, an open quote of the client's", front, nil, []string{`for="6.6.6.6, for=203.0.113.9`}, "203.0.113.9"},
		{"Forwarded, an open quote before a quoted one", front, nil, []string{`for="6.6.6.6, for="[2001:db8::9]"`}, "2001:db8::9"},
		{"Forwarded, text behind a quote", front, nil, []string{`for="203.0.113.9"x`}, front},
		{"Forwarded, escapes in an address", front, nil, []string{`for="203.0.113.\9"`}, front},
		{"Forwarded, no parameter", front, nil, []string{"203.0.113.9"}, front},

		{"X-Forwarded-For comes first", front, []string{"203.0.113.9"}, []string{"for=6.6.6.6"}, "203.0.113.9"},
		{"an empty X-Forwarded-For is none", front, []string{" , "}, []string{"for=203.0.113.9"}, "203.0.113.9"},
	} {
		t.Run(c.name, func(t *testing.T) {
			sender := netip.MustParseAddr(c.sender)
			if got := clientAddress(sender, testTrusted, c.xff, c.forwarded); got.String() != c.want {
				t.Errorf("got %v, want %s", got, c.want)
			}
		})
	}
}

func TestClientAddressAllocatesNothing(t *testing.T) {
	sender := netip.MustParseAddr("10.0.0.1")
	xff := []string{"203.0.113.9, [2001:db8:1::2]:80, 10.0.0.2"}
	forwarded := []string{`for=203.0.113.9, for="[2001:db8:1::2]:80", for=10.0.0.2`}
	if n := testing.AllocsPerRun(100, func() {
		if a, b := clientAddress(sender, testTrusted, xff, nil), clientAddress(sender, testTrusted, nil, forwarded); a != b || a == sender {
			t.Fatalf("got %v and %v", a, b)
		}
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

// FuzzClientAddress holds what makes the address safe to act on: a client that is not trusted
// cannot get itself another address by anything that it sends, since the trusted
// proxy in front appends the address it sees.
func FuzzClientAddress(f *testing.F) {
	for _, s := range []string{"", "6.6.6.6", "unknown, ,", `for="`, `for="a\`, `for=6.6.6.6;by="\"`, "[::1", "10.0.0.2, 10.0.0.3", "a\nb", `",",`} {
		f.Add(s, "2001:db8::9")
	}
	f.Fuzz(func(t *testing.T, theirs, address string) {
		client, err := netip.ParseAddr(address)
		if err != nil || client.Zone() != "" || client.Is4In6() {
			return
		}
		sender := netip.MustParseAddr("10.0.0.1")
		node := client.String()
		if client.Is6() {
			node = `"[` + node + `]"`
		}
		want := client
		if slices.ContainsFunc(testTrusted, func(p netip.Prefix) bool { return p.Contains(client) }) {
			// Its word is taken: then only that there is an answer at all.
			want = netip.Addr{}
		}
		for how, got := range map[string]netip.Addr{
			"X-Forwarded-For, same line": clientAddress(sender, testTrusted, []string{theirs + ", " + client.String()}, nil),
			"X-Forwarded-For, own line":  clientAddress(sender, testTrusted, []string{theirs, client.String()}, []string{theirs}),
			"Forwarded, same line":       clientAddress(sender, testTrusted, nil, []string{theirs + ", for=" + node}),
			"Forwarded, own line":        clientAddress(sender, testTrusted, []string{""}, []string{theirs, "proto=http;for=" + node}),
		} {
			if want.IsValid() && got != want || !got.IsValid() || got.Is4In6() || strings.Contains(got.String(), "%") {
				t.Errorf("%s: %q before %s gives %v", how, theirs, client, got)
			}
		}
	})
}

// TestDocsSayWhoTheClientIs holds the table of operations.md against what happens:
// each field that it shows, from a trusted proxy, names the client that it says.
func TestDocsSayWhoTheClientIs(t *testing.T) {
	page, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "\n| what a trusted proxy sends | `client` |\n")
	table, _, _ = strings.Cut(table, "\n\n")
	field := regexp.MustCompile("`(X-Forwarded-For|Forwarded): ([^`]*)`")
	shown := 0
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "|")
		for _, m := range field.FindAllStringSubmatch(line, -1) {
			shown++
			var xff, forwarded []string
			if m[1] == "Forwarded" {
				forwarded = []string{m[2]}
			} else {
				xff = []string{m[2]}
			}
			want := strings.TrimSpace(cells[len(cells)-2])
			if got := clientAddress(testTrusted[0].Addr().Next(), testTrusted, xff, forwarded); got.String() != want {
				t.Errorf("%s: %v, and operations.md says %s", m[0], got, want)
			}
		}
	}
	if shown < 4 {
		t.Errorf("operations.md shows %d fields", shown)
	}
}
