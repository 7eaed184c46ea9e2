package accesslog

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// fullEntry has every field set.
func fullEntry() Entry {
	return Entry{
		Time:      time.Date(2026, 3, 4, 5, 6, 7, 89_999_999, time.FixedZone("", 7200)),
		RequestID: []byte("r-1"), Client: netip.MustParseAddr("2001:db8::1%eth0"),
		Method: []byte("GET"), Scheme: "https", Host: []byte("shop.example.com"), Target: []byte("/a?q=\"x\"\\"),
		Status: 200, Bytes: 1234, Duration: 1500 * time.Microsecond, TTFB: 999 * time.Nanosecond,
		Result: "stale", Tier: "ram", Reason: "private", Policy: "rest", Collapsed: true,
		HasTTL: true, TTL: -500 * time.Millisecond, HasKey: true, Key: [16]byte{0x0f, 15: 0xa0},
		Origin: "shop", OriginStatus: 304, OriginDuration: 2 * time.Millisecond,
		UserAgent: []byte("curl/8"), Referer: []byte("https://example.com/\x01"),
	}
}

func TestEntryText(t *testing.T) {
	full := fullEntry()
	for _, c := range []struct {
		name  string
		entry Entry
		want  string
	}{
		{"full", full, `{"time":"2026-03-04T03:06:07.089Z","request_id":"r-1","client":"2001:db8::1","method":"GET","scheme":"https",` +
			`"host":"shop.example.com","target":"/a?q=\"x\"\\","status":200,"bytes":1234,"duration_us":1500,"ttfb_us":0,"result":"stale",` +
			`"tier":"ram","reason":"private","policy":"rest","collapsed":true,"ttl":-1,"key":"0f0000000000000000000000000000a0","origin":"shop",` +
			`"origin_status":304,"origin_us":2000,"user_agent":"curl/8","referer":"https://example.com/\u0001"}`},
		{"empty", Entry{}, `{"time":"0001-01-01T00:00:00.000Z","client":"","method":"","scheme":"","host":"","target":"","status":0,"bytes":0,` +
			`"duration_us":0,"ttfb_us":0,"result":"","tier":"","collapsed":false}`},
		{
			"no answer from the origin",
			Entry{Origin: "shop", OriginDuration: time.Second, HasTTL: true, TTL: 1999 * time.Millisecond},
			`{"time":"0001-01-01T00:00:00.000Z","client":"","method":"","scheme":"","host":"","target":"","status":0,"bytes":0,` +
				`"duration_us":0,"ttfb_us":0,"result":"","tier":"","collapsed":false,"ttl":1,"origin":"shop","origin_us":1000000}`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := string(c.entry.Append(nil))
			if got != c.want+"\n" {
				t.Errorf("got\n%swant\n%s", got, c.want)
			}
			if !json.Valid([]byte(got)) {
				t.Error("not valid JSON")
			}
		})
	}
}

// encodeJSON is how encoding/json writes s without HTML escapes.
func encodeJSON(t *testing.T, s string) string {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func FuzzAppendString(f *testing.F) {
	for _, s := range []string{
		"", "plain", `"\/`, "\b\f\n\r\t\x00\x1f\x7f", "ünï😀", "\xff", "a\xc3", "\xed\xa0\x80", "\xf4\x90\x80\x80",
		"\u2028\u2029\ufffd", "<>&", "\xe2\x80", strings.Repeat("x", 300) + "\xf0\x9f\x98",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > maxField {
			b = b[:maxField]
		}
		got := string(appendString([]byte("x"), b))
		if want := "x" + encodeJSON(t, string(b)); got != want {
			t.Fatalf("appendString(%q) = %s, want %s", b, got, want)
		}
		if fromString := string(appendString([]byte("x"), string(b))); fromString != got {
			t.Fatalf("as string %s, as bytes %s", fromString, got)
		}
	})
}

func TestLongFieldsAreCut(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"at the bound", strings.Repeat("a", maxField), strings.Repeat("a", maxField)},
		{"over the bound", strings.Repeat("a", maxField+1), strings.Repeat("a", maxField) + cutMark},
		{"within a rune", strings.Repeat("a", maxField-1) + "é", strings.Repeat("a", maxField-1) + "\ufffd" + cutMark},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got string
			if err := json.Unmarshal(appendString(nil, c.in), &got); err != nil {
				t.Fatal(err)
			}
			if got != c.want {
				t.Errorf("%d bytes that end in %q, want %d that end in %q", len(got), got[len(got)-8:], len(c.want), c.want[len(c.want)-8:])
			}
		})
	}
}

func FuzzEntry(f *testing.F) {
	f.Add([]byte("GET"), []byte("h"), []byte("/\n"), []byte("\x80"), int64(5), 200)
	f.Add([]byte{}, []byte{}, []byte{}, []byte{}, int64(-1), -1)
	f.Fuzz(func(t *testing.T, method, host, target, agent []byte, n int64, status int) {
		e := Entry{
			Time: time.Unix(n%253402300799, n), Method: method, Host: host, Target: target, UserAgent: agent, Referer: target, RequestID: agent,
			Bytes: n, Duration: time.Duration(n), TTL: time.Duration(n), HasTTL: true, Status: status, Origin: "o", OriginStatus: status,
		}
		line := e.Append(nil)
		if !utf8.Valid(line) || bytes.Count(line, []byte("\n")) != 1 || line[len(line)-1] != '\n' {
			t.Fatalf("not one line of UTF-8: %q", line)
		}
		var back struct {
			Method, Target string
			Bytes          int64
			Status         int
		}
		if err := json.Unmarshal(line, &back); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		if back.Bytes != n || back.Status != status {
			t.Fatalf("read back %+v from %s", back, line)
		}
		if utf8.Valid(method) && len(method) <= maxField && back.Method != string(method) {
			t.Fatalf("method %q read back as %q", method, back.Method)
		}
	})
}
