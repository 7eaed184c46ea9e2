package model

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
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
	// Languages: it has Content-Language, in one that the client likes.
	Languages, Cookie, Secret bool
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

// resource is one path.
type resource struct {
	behaviour
	version int
	made    time.Time
}

// scriptedOrigin answers by the behaviour of each path and notes every exchange.
type scriptedOrigin struct {
	clock *clock
	// mu protects what is below: refreshes in the background come beside
	// requests.
	mu        sync.Mutex
	resources map[string]*resource
	serial    int
	contacts  []Contact
}

// change gives a path another behaviour, and another version if it is due.
func (o *scriptedOrigin) change(path string, b behaviour, version bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	r := o.resources[path]
	r.behaviour = b
	if version {
		r.version++
		r.made = o.clock.now()
	}
}

// take returns the exchanges since the last take.
func (o *scriptedOrigin) take() []Contact {
	o.mu.Lock()
	defer o.mu.Unlock()
	c := o.contacts
	o.contacts = nil
	return c
}

// Do implements proxy.Origin.
func (o *scriptedOrigin) Do(_ context.Context, r *origin.Request) (*origin.Response, error) {
	if r.Body != nil {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return nil, err
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	res := o.resources[r.Target]
	o.serial++
	c := Contact{
		Asked:    Request{Method: r.Method, Path: r.Target, Fields: r.Header.Clone()},
		Response: Response{Asked: o.clock.now()},
	}
	o.clock.advance(time.Duration(res.Delay) * time.Second)
	c.Came = o.clock.now()
	if kind, fails := faults[res.Fault]; fails {
		c.Trouble = Unreachable
		o.contacts = append(o.contacts, c)
		return nil, &origin.Error{Kind: kind, Origin: "o", Err: errors.New("scripted")}
	}
	res.answer(&c, o.serial)
	o.contacts = append(o.contacts, c)
	return c.response(res.Chunked), nil
}

var faults = map[string]origin.Kind{
	"refused": origin.Refused, "timeout": origin.FirstByteTimeout, "reset": origin.Reset,
}

// answer fills in what the origin says.
func (r *resource) answer(c *Contact, serial int) {
	q := c.Asked
	c.Status, c.Whole = r.status(q.Method), r.body(q)
	h := r.fields(q, c.Came)
	c.Fields = h
	unsafe := q.Method != "GET" && q.Method != "HEAD"
	switch {
	case unsafe && c.Status < 400:
		// A write that succeeds leaves another version behind.
		r.version++
		r.made = c.Came
	case !unsafe && c.Status == 200 && NotModified(validatorsOnly(q, h), Response{Fields: h, Came: c.Came}):
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
		h.Set("X-Checked", strconv.Itoa(serial))
		return
	}
	c.Serial = serial
	h.Set("X-Serial", strconv.Itoa(serial))
	c.Sent = c.Whole
	if q.Method == "GET" && c.Status == 200 {
		if from, to, ok := span(q.Fields.Get("Range"), len(c.Whole)); ok && ifRange(q, c.Response) {
			c.part(from, to)
		}
	}
	switch c.Status {
	case 204:
		c.Sent, c.Whole = nil, nil
	case 500, 502, 503, 504:
		c.Trouble = ErrorStatus
	}
	c.Cut = r.Fault == "cut" && len(c.Sent) > 1
}

// validatorsOnly: an origin answers If-Modified-Since only from Last-Modified.
func validatorsOnly(q Request, h http.Header) Request {
	if h["Last-Modified"] == nil {
		q.Fields = q.Fields.Clone()
		q.Fields.Del("If-Modified-Since")
	}
	return q
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
	return fmt.Sprintf("%s.%d.%x", q.Path[1:], r.version, crc32.ChecksumIEEE([]byte(strings.Join(selecting, "\n"))))
}

func (r *resource) body(q Request) []byte {
	return bytes.Repeat([]byte("<"+r.representation(q)+">"), 3+r.version%2)
}

// fields are those of a full answer.
func (r *resource) fields(q Request, now time.Time) http.Header {
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
		set("Set-Cookie", "id=1")
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

// response is what the proxy gets.
func (c *Contact) response(chunked bool) *origin.Response {
	r := &origin.Response{Status: c.Status, Proto: "HTTP/1.1", Header: c.Fields.Clone(), ContentLength: int64(len(c.Sent))}
	r.Body = io.NopCloser(bytes.NewReader(c.Sent))
	switch {
	case c.Asked.Method == "HEAD" && c.Status != 304:
		r.ContentLength = int64(len(c.Whole))
		r.Header.Set("Content-Length", strconv.Itoa(len(c.Whole)))
	case c.Cut:
		r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(c.Sent[:len(c.Sent)/2]), broken{}))
	case chunked && c.Status == 200:
		r.ContentLength = -1
	}
	return r
}

// broken is where a body breaks off.
type broken struct{}

func (broken) Read([]byte) (int, error) {
	return 0, &origin.Error{Kind: origin.Truncated, Origin: "o", Err: io.ErrUnexpectedEOF}
}

// paths are all that the origins have.
var paths = []string{"/a", "/b"}

func newOrigin(c *clock, initial []behaviour) *scriptedOrigin {
	o := &scriptedOrigin{clock: c, resources: map[string]*resource{}}
	for i, path := range paths {
		o.resources[path] = &resource{behaviour: initial[i], made: c.now()}
	}
	return o
}

// clone keeps behaviours that steps share from being changed.
func (b behaviour) clone() behaviour {
	b.Control = slices.Clone(b.Control)
	return b
}
