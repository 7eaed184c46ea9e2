package script

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestParseScript(t *testing.T) {
	got, err := ParseScript(`
# everything once
refuse 2
on GET /a
    where Accept-Language: de
    where Cookie
    where no Range
    status 203 Other Info
    header ETag: "v1"
    header-raw "X\x00: 1"
    header-fill X-Big 4
    header-many X-N 2
    header-time Expires -1h
    interim 103 Early Hints
    interim-header Link: </a.css>
    body 2KiB of /b version 3
    framing chunked 100
    trailer X-Sum: 1
    surplus "HTTP/1.1 200 OK\r\n"
    conditional
    ranges
    close
    delay 50ms
    stall half at 1KiB for 2s
    stall up at upload 10
    cut at end
    pace 10 every 1ms
then
    status-line "HTTP/1.1 200"
    text "hi\n"
    framing none
    early
    reset at head
on * "/star*"
on * /pre*
    delay 1s at final
    cut at body
on POST *
`)
	if err != nil {
		t.Fatal(err)
	}
	want := &Script{Refuse: 2, Routes: []Route{
		{
			Method: "GET", Target: "/a",
			Where: []Condition{{Name: "Accept-Language", Value: "de", Exact: true}, {Name: "Cookie"}, {Name: "Range", Absent: true}},
			Answers: []Answer{{
				StatusLine: "HTTP/1.1 203 Other Info",
				Fields: []Field{
					{Name: "ETag", Value: `"v1"`},
					{Value: "X\x00: 1", Raw: true},
					{Name: "X-Big", Value: "xxxx"},
					{Name: "X-N-1", Value: "x"},
					{Name: "X-N-2", Value: "x"},
					{Name: "Expires", Time: true, Offset: -time.Hour},
				},
				Interims:    []Interim{{Status: "103 Early Hints", Fields: []Field{{Name: "Link", Value: "</a.css>"}}}},
				Body:        Body{Size: 2048, Name: "/b", Version: 3},
				Framing:     FramingChunked,
				ChunkSize:   100,
				Trailers:    []Field{{Name: "X-Sum", Value: "1"}},
				Surplus:     "HTTP/1.1 200 OK\r\n",
				Conditional: true, Ranges: true, Close: true,
				Events: []Event{
					{Action: ActDelay, For: 50 * time.Millisecond},
					{Action: ActStall, Name: "half", Point: AtBody, Offset: 1024, For: 2 * time.Second},
					{Action: ActStall, Name: "up", Point: AtUpload, Offset: 10},
					{Action: ActCut, Point: AtEnd},
				},
				PaceSize: 10, PaceEvery: time.Millisecond,
			}, {
				StatusLine: "HTTP/1.1 200",
				Body:       Body{Text: "hi\n"},
				Framing:    FramingNone,
				Early:      true,
				Events:     []Event{{Action: ActReset, Point: AtHead}},
			}},
		},
		{Method: "*", Target: "/star*", Answers: make([]Answer, 1)},
		{Method: "*", Target: "/pre", Prefix: true, Answers: []Answer{{Events: []Event{
			{Action: ActDelay, For: time.Second, Point: AtFinal},
			{Action: ActCut, Point: AtBody},
		}}}},
		{Method: "POST", Prefix: true, Answers: make([]Answer, 1)},
	}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestParseScriptFaults(t *testing.T) {
	for _, c := range []struct {
		text string
		line int
		want string
	}{
		{"status 200 OK", 1, "before the first on"},
		{"hello", 1, `unknown directive "hello"`},
		{"on GET /\nhello", 2, `unknown directive "hello"`},
		{"on GET", 1, "on METHOD TARGET"},
		{`on GET "`, 1, "double quotes"},
		{`on GET ""`, 1, "target is empty"},
		{"on GET / x", 1, "on METHOD TARGET"},
		{"refuse many", 1, "no count"},
		{"on GET /\nbody 1\nwhere X: y", 3, "right after"},
		{"on GET /\nwhere no X Y", 2, "no field name"},
		{"on GET /\nthen again", 2, "no arguments"},
		{"on GET /\nstatus 20", 2, "final status"},
		{"on GET /\nstatus 103 Early", 2, "final status"},
		{"on GET /\nstatus-line x", 2, "double quotes"},
		{"on GET /\nheader X", 2, "NAME: VALUE"},
		{"on GET /\nheader X Y: 1", 2, "no field name"},
		{"on GET /\nheader-fill X 1GiB", 2, "limit"},
		{"on GET /\nheader-many X 200000", 2, "limit"},
		{"on GET /\nheader-time X soon", 2, "no duration"},
		{"on GET /\ninterim 200 OK", 2, "1xx"},
		{"on GET /\ninterim-header X: y", 2, "before the first interim"},
		{"on GET /\nbody 10kB", 2, "no size"},
		{"on GET /\nbody 9223372036854775807GiB", 2, "no size"},
		{"on GET /\nbody 1 of", 2, "body SIZE"},
		{"on GET /\nbody 1 off x", 2, "of or version"},
		{"on GET /\nbody 1 version x", 2, "no version"},
		{"on GET /\ntext hello", 2, "double quotes"},
		{"on GET /\nframing long", 2, "length, chunked"},
		{"on GET /\nframing chunked 0", 2, "at least 1"},
		{"on GET /\nframing close 5", 2, "takes no size"},
		{"on GET /\nclose it", 2, "no arguments"},
		{"on GET /\ndelay", 2, "delay DURATION"},
		{"on GET /\ndelay 5", 2, "no duration"},
		{"on GET /\nstall at 5", 2, "stall NAME"},
		{"on GET /\nstall x at", 2, "at WHERE"},
		{"on GET /\nstall x at noon", 2, "no place"},
		{"on GET /\nstall x at upload", 2, "upload SIZE"},
		{"on GET /\nstall x for 0s", 2, "above 0"},
		{"on GET /\ncut at 5 6", 2, "after the place"},
		{"on GET /\npace 5 each 1s", 2, "pace SIZE every"},
		{"on GET /\nbody 10\nthen\nbody 10\ncut at 11", 3, "the body ends at 10"},
		{"on GET /\nbody 10\ntext \"x\"", 1, "both a text and a body"},
		{"on GET /\ntrailer X: y", 1, "need framing chunked"},
		{"on GET /\nearly\nstall x at upload 5", 1, "does not read"},
		{"on GET /\npace 5 every 0s", 1, "above 0"},
	} {
		_, err := ParseScript(c.text)
		var got *ParseError
		if !errors.As(err, &got) {
			t.Errorf("%q: got %v, want a *ParseError", c.text, err)
			continue
		}
		if got.Line != c.line || !strings.Contains(got.Err.Error(), c.want) {
			t.Errorf("%q: got line %d: %v, want line %d and %q", c.text, got.Line, got.Err, c.line, c.want)
		}
	}
}

func TestParseScriptNamesEveryFault(t *testing.T) {
	_, err := ParseScript("nonsense\non GET /\nbody x\nclose now\n")
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"line 1:", "line 3:", "line 4:"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not name %s", err, want)
		}
	}
}

func TestValidateGoScripts(t *testing.T) {
	for want, s := range map[string]*Script{
		"refuse is -1":        {Refuse: -1},
		"a method and":        {Routes: []Route{{Target: "/", Answers: make([]Answer, 1)}}},
		"at least one answer": {Routes: []Route{{Method: "GET", Target: "/"}}},
		"needs a name":        {Routes: []Route{{Method: "GET", Target: "/", Answers: []Answer{{Events: []Event{{Action: ActStall}}}}}}},
		"does not exist":      {Routes: []Route{{Method: "GET", Target: "/", Answers: []Answer{{Events: []Event{{Action: 9}}}}}}},
		"at least 0":          {Routes: []Route{{Method: "GET", Target: "/", Answers: []Answer{{Events: []Event{{For: -1}}}}}}},
		"body size is -1":     {Routes: []Route{{Method: "GET", Target: "/", Answers: []Answer{{Body: Body{Size: -1}}}}}},
		"framing 9":           {Routes: []Route{{Method: "GET", Target: "/", Answers: []Answer{{Framing: 9}}}}},
	} {
		if o, err := Start(s); err == nil {
			o.Close()
			t.Errorf("a script with %q started", want)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("got %q, want %q", err, want)
		}
	}
}

func FuzzParseScript(f *testing.F) {
	f.Add("refuse 1\non GET /a*\nwhere no X\nbody 1KiB of \"x y\" version 2\nframing chunked 7\ntrailer A: b\nstall s at 3 for 1s\nthen\ncut at upload 3\n")
	f.Add("on * \"/a b\"\nstatus-line \"HTTP/1.0 200\"\nheader-raw \"\\x00\"\ninterim 100 Continue\ninterim-header A: b\ntext \"x\"\nreset at end\npace 1 every 1ms\n")
	f.Add("on GET /\nheader-time Date -1s\nheader-fill A 3\nheader-many B 2\nearly\nclose\nranges\nconditional\nsurplus \"x\"\n")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseScript(text)
		if err == nil {
			if err := s.Validate(); err != nil {
				t.Fatalf("%q was parsed but is not valid: %v", text, err)
			}
			return
		}
		var fault *ParseError
		lines := strings.Count(text, "\n") + 1
		if !errors.As(err, &fault) || fault.Line < 1 || fault.Line > lines {
			t.Fatalf("%q: error %#v names no line", text, err)
		}
	})
}
