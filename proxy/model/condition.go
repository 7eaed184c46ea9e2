package model

import (
	"bytes"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Shown is what a client gets of a representation.
type Shown struct {
	Status int
	Body   []byte
	// ContentRange is set for a part.
	ContentRange string
}

// Show evaluates the request's condition and range on a complete 200 (RFC 9110
// section 13.2.2). Stored: the cache may keep it.
func Show(q Request, r Response, body []byte, stored bool) Shown {
	if NotModified(q, r, stored) {
		return Shown{Status: http.StatusNotModified}
	}
	if from, to, ok := span(q.Fields.Get("Range"), len(body)); ok && q.Method == "GET" && ifRange(q, r) {
		if from >= to {
			return Shown{Status: http.StatusRequestedRangeNotSatisfiable}
		}
		return Shown{Status: http.StatusPartialContent, Body: body[from:to], ContentRange: ContentRange(from, to, len(body))}
	}
	return Shown{Status: http.StatusOK, Body: body}
}

// ContentRange is that field for the bytes from one to before the other.
func ContentRange(from, to, size int) string {
	return "bytes " + strconv.Itoa(from) + "-" + strconv.Itoa(to-1) + "/" + strconv.Itoa(size)
}

// Lent reports whether a 304 may be given where NotModified says no, by weir's
// addition to RFC 9111 section 4.3.2: a response that has no validator at all is
// not modified for a copy no older than its lifetime, of a time before the cache
// began to answer.
func (p *Policy) Lent(q Request, r Response, at, began time.Time) bool {
	since, err := http.ParseTime(q.Fields.Get("If-Modified-Since"))
	life, _ := p.Lifetime(r, true)
	c, _ := Governing(r.Fields)
	return err == nil && q.Fields["If-None-Match"] == nil && r.Fields["Etag"] == nil && r.Fields["Last-Modified"] == nil &&
		life > Age(r, at) && !c.Plain("no-cache") && !c.Has("must-revalidate") && !c.Has("proxy-revalidate") && !c.Has("s-maxage") &&
		since.Unix() >= at.Add(-life).Unix() && since.Before(began)
}

// NotModified reports whether the condition calls for a 304 (RFC 9110 sections
// 13.1.2 and 13.1.3). Date stands in for a missing Last-Modified of a stored
// response only (RFC 9111 section 4.3.2).
func NotModified(q Request, r Response, stored bool) bool {
	if tags := q.Fields["If-None-Match"]; tags != nil {
		weak := func(tag string) string { return strings.TrimPrefix(tag, "W/") }
		return tags[0] == "*" || r.Fields["Etag"] != nil && slices.ContainsFunc(members(tags[0]), func(tag string) bool {
			return weak(tag) == weak(r.Fields.Get("Etag"))
		})
	}
	since, err := http.ParseTime(q.Fields.Get("If-Modified-Since"))
	if err != nil {
		return false
	}
	if modified, err := http.ParseTime(r.Fields.Get("Last-Modified")); err == nil {
		return !modified.After(since)
	}
	return stored && !date(r).After(since)
}

var oneRange = regexp.MustCompile(`^bytes=(\d*)-(\d*)$`)

// span reads one range (RFC 9110 section 14.1.2). An empty one cannot be
// satisfied; ok is false for what is to be ignored.
func span(value string, size int) (from, to int, ok bool) {
	m := oneRange.FindStringSubmatch(value)
	if m == nil || m[1]+m[2] == "" {
		return 0, 0, false
	}
	first, _ := strconv.Atoi(m[1])
	last, err := strconv.Atoi(m[2])
	switch {
	case m[1] == "":
		return max(size-last, 0), size, true
	case err != nil:
		return first, size, true
	case last < first:
		return 0, 0, false
	}
	return first, min(last+1, size), true
}

// ifRange is RFC 9110 section 13.1.5.
func ifRange(q Request, r Response) bool {
	value := q.Fields["If-Range"]
	if value == nil {
		return true
	}
	if strings.HasPrefix(value[0], `"`) {
		return value[0] == r.Fields.Get("Etag")
	}
	modified, err := http.ParseTime(r.Fields.Get("Last-Modified"))
	// Section 8.8.2.2: strong only when the second it names was over.
	return err == nil && value[0] == r.Fields.Get("Last-Modified") && modified.Before(date(r))
}

// Equal tells whether an answer to a request of that method is s.
func (s Shown) Equal(method string, status int, body []byte, contentRange string) bool {
	if status != s.Status || status == http.StatusPartialContent && contentRange != s.ContentRange {
		return false
	}
	// What weir says with a 416 is its own.
	return method == "HEAD" || status == http.StatusRequestedRangeNotSatisfiable || bytes.Equal(body, s.Body)
}
