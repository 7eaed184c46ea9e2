package accesslog

import (
	"errors"
	"strings"
	"testing"
	"time"
)

const weirLine = `{"time":"2026-03-04T03:06:07.089Z","request_id":"r-1","client":"2001:db8::1","method":"GET","scheme":"https",` +
	`"host":"shop.example","target":"/a?b=\u003c1","status":206,"bytes":512,"duration_us":7,"ttfb_us":3,"result":"hit","tier":"ram",` +
	`"collapsed":false,"user_agent":"curl/8","referer":"-"}`

func TestParseJSON(t *testing.T) {
	e, err := ParseJSON(weirLine)
	if err != nil {
		t.Fatal(err)
	}
	want := Entry{
		Client: "2001:db8::1", Ident: "-", User: "-", Time: time.Date(2026, 3, 4, 3, 6, 7, 89e6, time.UTC),
		Request: "GET /a?b=<1 HTTP/1.1", Method: "GET", Target: "/a?b=<1", Proto: "HTTP/1.1", Status: 206, Size: 512, Referer: "-", Agent: "curl/8",
	}
	if e != want {
		t.Errorf("got  %+v\nwant %+v", e, want)
	}
}

func TestParseJSONFaults(t *testing.T) {
	for _, tc := range []struct {
		line string
		want Fault
	}{
		{`{"time":`, FaultJSON},
		{`{"method":"GET","target":"/","status":200}`, FaultTime},
		{`{"time":"2026-03-04T03:06:07Z","method":"","target":"/","status":200}`, FaultRequest},
		{`{"time":"2026-03-04T03:06:07Z","method":"GET","status":200}`, FaultRequest},
		{`{"time":"2026-03-04T03:06:07Z","method":"GET","target":"/","status":0}`, FaultStatus},
		{`{"time":"2026-03-04T03:06:07Z","method":"GET","target":"/","status":200,"bytes":-1}`, FaultSize},
	} {
		_, err := ParseJSON(tc.line)
		var perr *ParseError
		if !errors.As(err, &perr) || perr.Fault != tc.want {
			t.Errorf("%s: got %v, want the fault %q", tc.line, err, tc.want)
		}
	}
}

// A log may hold both formats: a file that weir went on writing into after another server did.
func TestReadAllTakesBothFormats(t *testing.T) {
	text := `1.2.3.4 - - [02/Jan/2026:15:04:05 +0000] "GET /x HTTP/1.1" 200 5` + "\n" + weirLine + "\n{nonsense\n"
	log, err := ReadAll(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if len(log.Entries) != 2 || log.Entries[0].Target != "/x" || log.Entries[1].Target != "/a?b=<1" {
		t.Errorf("entries: %+v", log.Entries)
	}
	if len(log.Faults) != 1 || log.Faults[0].Line != 3 || log.Faults[0].Fault != FaultJSON {
		t.Errorf("faults: %+v", log.Faults)
	}
}
