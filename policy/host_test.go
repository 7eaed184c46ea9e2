package policy

import (
	"bytes"
	"strings"
	"testing"
)

func TestParseHost(t *testing.T) {
	label63 := strings.Repeat("a", 63)
	name253 := strings.Repeat(label63+".", 3) + strings.Repeat("b", 61)
	for _, c := range []struct {
		raw, scheme, want string
	}{
		{"example.com", "http", "example.com"},
		{"EXAMPLE.Com", "http", "example.com"},
		{"example.com.", "http", "example.com"},
		{"example.com:80", "http", "example.com"},
		{"example.com.:80", "http", "example.com"},
		{"example.com:443", "http", "example.com:443"},
		{"example.com:443", "https", "example.com"},
		{"example.com:80", "https", "example.com:80"},
		{"example.com:80", "", "example.com:80"},
		{"example.com:", "http", "example.com"},
		{"example.com:65535", "http", "example.com:65535"},
		{"localhost", "http", "localhost"},
		{"my_host-1", "http", "my_host-1"},
		{"127.0.0.1:8080", "http", "127.0.0.1:8080"},
		{"127.1", "http", "127.1"},
		{"[::1]", "http", "[::1]"},
		{"[::1]:80", "http", "[::1]"},
		{"[0:0:0:0:0:0:0:1]:8080", "http", "[::1]:8080"},
		{"[2001:DB8:0:0::1]", "https", "[2001:db8::1]"},
		{"[::FFFF:192.0.2.1]", "http", "[::ffff:192.0.2.1]"},
		{"bücher.example", "http", "xn--bcher-kva.example"},
		{"BÜCHER.example:8080", "http", "xn--bcher-kva.example:8080"},
		{"XN--BCHER-KVA.example", "http", "xn--bcher-kva.example"},
		{"bücher\u3002example", "http", "xn--bcher-kva.example"},
		{"straße.example", "http", "xn--strae-oqa.example"},
		{name253, "http", name253},
		{name253 + ".", "http", name253},
	} {
		got, err := ParseHost([]byte("dst "), []byte(c.raw), c.scheme)
		if err != nil || string(got) != "dst "+c.want {
			t.Errorf("ParseHost(%q, %q) = %q, %v; want %q", c.raw, c.scheme, got, err, c.want)
		}
	}
}

func TestParseHostRefuses(t *testing.T) {
	for _, c := range []struct {
		raw  string
		want HostFault
	}{
		{"", HostEmpty},
		{".", HostEmpty},
		{":80", HostEmpty},
		{"u@example.com", HostUserinfo},
		{"u:p@example.com", HostUserinfo},
		{"@example.com", HostUserinfo},
		{"a.example,b.example", HostTwo},
		{"a.example, b.example", HostTwo},
		{"a b", HostBytes},
		{" a", HostBytes},
		{"a\r\nb", HostBytes},
		{"a\x00b", HostBytes},
		{"a\tb", HostBytes},
		{"a\x7f", HostBytes},
		{"a/b", HostBytes},
		{"a\\b", HostBytes},
		{"a?b", HostBytes},
		{"a#b", HostBytes},
		{"a%2Eb", HostBytes},
		{"a*b", HostBytes},
		{"bü/cher", HostBytes},
		{"a..b", HostLabel},
		{".a", HostLabel},
		{"a..", HostLabel},
		{strings.Repeat("a", 64) + ".example", HostLabel},
		{strings.Repeat("a.", 126) + "ab", HostLong},
		{strings.Repeat("ü", 10_000), HostLong},
		{"a:0", HostPort},
		{"a:080", HostPort},
		{"a:65536", HostPort},
		{"a:123456", HostPort},
		{"a:8a", HostPort},
		{"a:-1", HostPort},
		{"a:80:80", HostPort},
		{"::1", HostEmpty},
		{"[::1", HostIPv6},
		{"[", HostIPv6},
		{"[]", HostIPv6},
		{"[1.2.3.4]", HostIPv6},
		{"[fe80::1%eth0]", HostIPv6},
		{"[fe80::1%25eth0]", HostIPv6},
		{"[v1.a]", HostIPv6},
		{"[::1]a", HostIPv6},
		{"[::1]a:80", HostIPv6},
		{"[::1]80", HostIPv6},
		{"\xff\xfe.example", HostIDNA},
		{"\ufffd.example", HostIDNA},
		{"\u2100.example", HostIDNA},
		{"a\u00adb\u200d.example", HostIDNA},
	} {
		got, err := ParseHost([]byte("dst"), []byte(c.raw), "http")
		if err != c.want || string(got) != "dst" {
			t.Errorf("ParseHost(%q) = %q, %v; want %v", c.raw, got, err, c.want)
		}
	}
}

func TestHostFaultsAreTold(t *testing.T) {
	seen := map[string]bool{}
	for f := HostEmpty; f <= HostIDNA; f++ {
		if text := f.Error(); seen[text] || !strings.HasPrefix(text, "cannot parse host: ") {
			t.Errorf("fault %d: %q", f, text)
		}
		seen[f.Error()] = true
	}
}

func FuzzParseHost(f *testing.F) {
	for _, s := range []string{
		"example.com", "EXAMPLE.com.:80", "[::1]:8080", "bücher.example", "u@h", "a,b", "a\u3002b", "\xff", "xn--a.b", "１２７.0.0.1",
	} {
		f.Add([]byte(s), "http")
		f.Add([]byte(s), "https")
	}
	f.Fuzz(func(t *testing.T, raw []byte, scheme string) {
		got, err := ParseHost(nil, raw, scheme)
		if err != nil {
			if _, ok := err.(HostFault); !ok || len(got) != 0 {
				t.Fatalf("%q: %q, %T", raw, got, err)
			}
			return
		}
		again, err := ParseHost(nil, got, scheme)
		if err != nil || !bytes.Equal(again, got) {
			t.Fatalf("%q gives %q, and that %q, %v", raw, got, again, err)
		}
		if bytes.ContainsAny(got, "ABCDEFGHIJKLMNOPQRSTUVWXYZ@,/?#%\\ ") || len(got) == 0 || len(got) > maxHost+len(":65535") {
			t.Fatalf("%q gives %q", raw, got)
		}
		for _, c := range got {
			if c <= ' ' || c >= 0x7f {
				t.Fatalf("%q gives %q", raw, got)
			}
		}
	})
}

func TestParseHostAllocatesNothing(t *testing.T) {
	buf := make([]byte, 0, 300)
	for _, s := range []string{"www.example.com", "WWW.Example.COM.:8080", "127.0.0.1:80", "u@refused", "a..b"} {
		raw := []byte(s)
		if n := testing.AllocsPerRun(100, func() { _, _ = ParseHost(buf[:0], raw, "http") }); n != 0 {
			t.Errorf("%q: %v allocations", s, n)
		}
	}
}

func BenchmarkParseHost(b *testing.B) {
	buf := make([]byte, 0, 300)
	for name, s := range map[string]string{"plain": "www.example.com", "port": "WWW.Example.com:8080", "ipv6": "[2001:db8::1]:8080", "idna": "bücher.example"} {
		raw := []byte(s)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = ParseHost(buf[:0], raw, "http")
			}
		})
	}
}
