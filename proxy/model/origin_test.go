package model

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"weir/origin"
)

// clock is what the proxy, the tiers and the origin go by. Only steps of the
// history and delays of the origin move it.
type clock struct{ nanos atomic.Int64 }

func (c *clock) now() time.Time          { return time.Unix(0, c.nanos.Load()).UTC() }
func (c *clock) advance(d time.Duration) { c.nanos.Add(int64(d)) }
func httpDate(at time.Time) string       { return at.UTC().Format(http.TimeFormat) }

// behaviour is how the origin answers for one path. Its zero value is a 200
// that says nothing about caching.
type behaviour struct {
	Status  int      // 0 is 200
	Control []string // members of Cache-Control
	// Targeted is one field line, "" for none.
	Targeted string
	// Expires is seconds after the Date; -1 is "0", which is no date; 0 is none.
	Expires int
	Age     string
	// Skew is how far Date is off the clock, in seconds.
	Skew   int
	NoDate bool
	// Modified is how long before its first answer the version was made, in
	// seconds; 0 is no Last-Modified.
	Modified int
	Tag      string // "", "strong" or "weak"
	Vary     string
	// Languages: it has Content-Language, in one that the client likes. Cookie:
	// it sets one. Reflect: Link is what the request's X-Foo is.
	Languages, Cookie, Secret, Reflect bool
	// Personal: what it answers depends on the request's cookies, and Visitors
	// is its Cache-Control for requests that have any, "" for the same.
	Personal bool
	Visitors string
	// HeadBare: answers to HEAD have no validators.
	HeadBare bool
	// Bare: a 304 carries nothing that bears on freshness.
	Bare bool
	// Chunked: no length is stated.
	Chunked bool
	// Delay is the seconds until the header comes.
	Delay int
	// Fault is "refused", "timeout", "reset", or "cut": the body breaks off.
	Fault string
	// Unsafe is the status for unsafe methods, 0 is 200; Location and
	// ContentLocation come with it.
	Unsafe                    int
	Location, ContentLocation string
}

// String names what is not as usual.
func (b behaviour) String() string {
	plain := b
	plain.Control, plain.Vary, plain.Targeted, plain.Visitors = nil, "", "", ""
	var out []string
	for _, word := range strings.Fields(fmt.Sprintf("%+v", fieldsOf(plain))) {
		word = strings.Trim(word, "{}")
		if _, value, ok := strings.Cut(word, ":"); !ok || value != "" && value != "0" && value != "false" && value != "[]" {
			out = append(out, word)
		}
	}
	s := fmt.Sprintf("%v [Cache-Control: %s]", out, strings.Join(b.Control, ", "))
	for _, line := range []string{"Vary: " + b.Vary, "with cookies, Cache-Control: " + b.Visitors, b.Targeted} {
		if line != "" && !strings.HasSuffix(line, ": ") {
			s += " [" + line + "]"
		}
	}
	return s
}

// fieldsOf is a behaviour without its String.
type fieldsOf behaviour

// resource is one path.
type resource struct {
	behaviour
	version int
	made    time.Time
}

var faults = map[string]origin.Kind{
	"refused": origin.Refused, "timeout": origin.FirstByteTimeout, "reset": origin.Reset,
}

// answer fills in what the origin says.
func (r *resource) answer(c *Contact, serial int) {
	q := c.Asked
	c.Status, c.Whole = r.status(q.Method), r.body(q)
	h := r.fields(q, c.Came, serial)
	c.Fields = h
	unsafe := q.Method != "GET" && q.Method != "HEAD"
	switch {
	case unsafe && c.Status < 400:
		// A write that succeeds leaves another version behind.
		r.version++
		r.made = c.Came
	case !unsafe && c.Status == 200 && NotModified(q, Response{Fields: h, Came: c.Came}, false):
		c.Status, c.Checked = 304, serial
		if r.Bare {
			for _, name := range []string{"Cache-Control", "Cdn-Cache-Control", "Weir-Cache-Control", "Expires", "Age", "Vary", "X-Secret"} {
				delete(h, name)
			}
		}
		h.Set("X-Checked", strconv.Itoa(serial))
		return
	case q.Method == "HEAD":
		c.Checked = serial
		c.Length = !r.Chunked
		if r.HeadBare {
			delete(h, "Etag")
			delete(h, "Last-Modified")
		}
		h.Set("X-Checked", strconv.Itoa(serial))
		if c.Status >= 500 {
			c.Trouble = trouble(c.Status)
		}
		return
	}
	c.Serial = serial
	h.Set("X-Serial", strconv.Itoa(serial))
	c.Sent = c.Whole
	// Parts of what is personal and has no tag of its own would be taken for
	// parts of one another.
	if q.Method == "GET" && c.Status == 200 && (!r.Personal || r.Tag == "strong") {
		if from, to, ok := span(q.Fields.Get("Range"), len(c.Whole)); ok && ifRange(q, c.Response) {
			c.part(from, to)
		}
	}
	switch c.Status {
	case 204:
		c.Sent, c.Whole = nil, nil
	case 500, 502, 503, 504:
		c.Trouble = trouble(c.Status)
	}
	c.Cut = r.Fault == "cut" && len(c.Sent) > 1
}

func (c *Contact) part(from, to int) {
	if from >= to {
		c.Status, c.Sent = 416, nil
		c.Fields.Set("Content-Range", fmt.Sprintf("bytes */%d", len(c.Whole)))
		return
	}
	c.Status, c.Sent = 206, c.Whole[from:to]
	c.Fields.Set("Content-Range", ContentRange(from, to, len(c.Whole)))
}

func (r *resource) status(method string) int {
	status := r.Status
	if method != "GET" && method != "HEAD" {
		status = r.Unsafe
	}
	if status == 0 {
		return 200
	}
	return status
}

// representation names what the request selects: the version, and the request
// fields that the answer varies on.
func (r *resource) representation(q Request) string {
	var selecting []string
	names, _ := Varies(http.Header{"Vary": {r.Vary}})
	for _, name := range names {
		// Values that a cache may take for the same are the same to the origin.
		value := fmt.Sprintf("%q", trimmed(q.Fields[name]))
		if strings.HasPrefix(name, "Accept-") {
			value = fmt.Sprint(weights(q.Fields[name]))
		}
		selecting = append(selecting, fmt.Sprintf("%s=%v%s", name, q.Fields[name] != nil, value))
	}
	if r.Personal {
		selecting = append(selecting, "for "+q.Fields.Get("Cookie"))
	}
	return fmt.Sprintf("%s.%d.%x", q.Path[1:], r.version, crc32.ChecksumIEEE([]byte(strings.Join(selecting, "\n"))))
}

func (r *resource) body(q Request) []byte {
	return bytes.Repeat([]byte("<"+r.representation(q)+">"), 3+r.version%2)
}

// fields are those of a full answer.
func (r *resource) fields(q Request, now time.Time, serial int) http.Header {
	h := http.Header{}
	set := func(name, value string) {
		if value != "" {
			h.Set(name, value)
		}
	}
	date := now.Add(time.Duration(r.Skew) * time.Second)
	if !r.NoDate {
		set("Date", httpDate(date))
	}
	set("Cache-Control", strings.Join(r.Control, ", "))
	if q.Fields["Cookie"] != nil && r.Visitors != "" {
		set("Cache-Control", r.Visitors)
	}
	if name, value, ok := strings.Cut(r.Targeted, ": "); ok {
		set(name, value)
	}
	switch {
	case r.Expires < 0:
		set("Expires", "0")
	case r.Expires > 0:
		set("Expires", httpDate(date.Add(time.Duration(r.Expires)*time.Second)))
	}
	if r.Modified > 0 {
		set("Last-Modified", httpDate(r.made.Add(-time.Duration(r.Modified)*time.Second)))
	}
	switch r.Tag {
	case "strong":
		set("Etag", `"`+r.representation(q)+`"`)
	case "weak":
		set("Etag", `W/"`+r.representation(q)+`"`)
	}
	set("Age", r.Age)
	set("Vary", r.Vary)
	if r.Languages {
		set("Content-Language", preferred(q.Fields["Accept-Language"]))
	}
	if r.Cookie {
		set("Set-Cookie", "id="+strconv.Itoa(serial))
	}
	if r.Reflect {
		set("Link", q.Fields.Get("X-Foo"))
	}
	if r.Status == 503 {
		set("Retry-After", "120")
	}
	if r.Secret {
		set("X-Secret", "1")
	}
	if q.Method != "GET" && q.Method != "HEAD" {
		set("Location", r.Location)
		set("Content-Location", r.ContentLocation)
	}
	return h
}

// preferred is the language that the origin, which has two, answers in.
func preferred(lines []string) string {
	if w := weights(lines); w["de"] > w["en"] {
		return "de"
	}
	return "en"
}

// paths are all that the origins have.
var paths = []string{"/a", "/b"}

// clone keeps behaviours that steps share from being changed.
func (b behaviour) clone() behaviour {
	b.Control = slices.Clone(b.Control)
	return b
}

// trouble is what a status of 500 or above says.
func trouble(status int) Trouble {
	if 502 <= status && status <= 504 {
		return GatewayStatus
	}
	return ErrorStatus
}
