// Package replay sends the requests of an access log through a running proxy, against an origin that answers each URL
// as the log says, compares every body byte for byte, and reports what the cache saved.
//
// Guarantees: what a URL answers follows from the log alone (Catalogue), so client and origin agree without talking;
// every byte of every answer is checked, and bytes beyond an answer too; a fault never stops the run, it is counted and
// the first ones are kept with their line of the log; Run returns with no goroutine left.
//
// Refuses: targets that are not loopback, and https. It is a closed loop (each connection sends when its last answer is
// whole) in the order of the log, not at its pace: its latencies describe the proxy under the chosen concurrency, not
// under a chosen rate.
package replay

import (
	"net/http"
	"net/url"
	"strings"

	"weir/loadtest/accesslog"
	"weir/loadtest/selfcheck"
)

// Resource is what one URL answers.
type Resource struct {
	Status int
	Size   int64 // of the body, bytes
	Seed   selfcheck.Seed
}

// Catalogue says what each URL of a log answers. It does not change and may be shared.
type Catalogue struct {
	resources map[string]Resource
}

// CatalogueOptions shape a catalogue. The zero value follows the log.
type CatalogueOptions struct {
	MaxSize int64 // bodies above are cut to this, bytes; 0: as the log says
}

// NewCatalogue decides what each URL answers, from all lines that name it:
//
//   - GET, HEAD: 200 if any line has 200, 206, 304 or 416, with the largest size that a GET answered 200 had; without
//     one the largest 206, and without that (the log saw only 304s or HEADs) a size from 1 to 32 KiB that follows from
//     the URL.
//   - else the status of the first line (404, 301, 403, 500 ...) with the largest size that status had.
//   - any other method: by itself, in the same way.
//
// URLs that RFC 3986 calls equal (%7E and ~) are one resource.
func NewCatalogue(entries []accesslog.Entry, opts CatalogueOptions) *Catalogue {
	seen := map[string]*sighting{}
	for i := range entries {
		target, ok := WireTarget(&entries[i])
		if !ok {
			continue
		}
		key := resourceKey(entries[i].Method, target)
		s := seen[key]
		if s == nil {
			s = &sighting{whole: -1, part: -1, other: -1}
			seen[key] = s
		}
		s.note(&entries[i])
	}
	c := &Catalogue{resources: make(map[string]Resource, len(seen))}
	for key, s := range seen {
		r := s.resource(selfcheck.SeedOf(key, 0))
		if opts.MaxSize > 0 {
			r.Size = min(r.Size, opts.MaxSize)
		}
		c.resources[key] = r
	}
	return c
}

// Lookup returns what a request gets. target is in origin-form.
func (c *Catalogue) Lookup(method, target string) (Resource, bool) {
	r, ok := c.resources[resourceKey(method, target)]
	return r, ok
}

// Len is the number of resources, Bytes the sum of their sizes.
func (c *Catalogue) Len() int { return len(c.resources) }

// Bytes is the sum of all sizes: what a cache needs to hold everything, without overhead.
func (c *Catalogue) Bytes() (sum int64) {
	for _, r := range c.resources {
		sum += r.Size
	}
	return sum
}

// sighting is what the log says about one resource.
type sighting struct {
	ok     bool  // a line shows that the resource exists
	whole  int64 // largest size of a 200 that was not HEAD
	part   int64 // largest size of a 206
	status int   // of the first line that shows another status
	other  int64 // largest size of that status
}

func (s *sighting) note(e *accesslog.Entry) {
	size := max(e.Size, 0) // "-" is an empty body
	switch e.Status {
	case http.StatusOK:
		s.ok = true
		if e.Method != http.MethodHead {
			s.whole = max(s.whole, size)
		}
	case http.StatusPartialContent:
		s.ok = true
		s.part = max(s.part, size)
	case http.StatusNotModified, http.StatusRequestedRangeNotSatisfiable:
		s.ok = true
	default:
		if s.status == 0 {
			s.status = e.Status
		}
		if s.status == e.Status && e.Method != http.MethodHead {
			s.other = max(s.other, size)
		}
	}
}

func (s *sighting) resource(seed selfcheck.Seed) Resource {
	switch {
	case s.ok && s.whole >= 0:
		return Resource{http.StatusOK, s.whole, seed}
	case s.ok && s.part >= 0:
		return Resource{http.StatusOK, s.part, seed}
	case s.ok:
		return Resource{http.StatusOK, 1<<10 + int64(seed%(31<<10)), seed}
	case s.status < 200 || s.status == http.StatusNoContent:
		return Resource{http.StatusNoContent, 0, seed}
	}
	return Resource{s.status, max(s.other, 0), seed}
}

func resourceKey(method, target string) string {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	return method + " " + Canonical(target)
}

const upperHex = "0123456789ABCDEF"

// Canonical makes targets equal that RFC 3986 section 6.2.2 calls equal, and those that differ only in whether a sender
// escaped what may not stand in a URL.
func Canonical(target string) string {
	if strings.IndexFunc(target, isOdd) < 0 {
		return target
	}
	b := make([]byte, 0, len(target))
	for i := 0; i < len(target); i++ {
		c := target[i]
		switch {
		case c == '%' && i+2 < len(target) && isHex(target[i+1]) && isHex(target[i+2]):
			if v := unhex(target[i+1])<<4 | unhex(target[i+2]); isUnreserved(v) {
				b = append(b, v)
			} else {
				b = append(b, '%', upperHex[v>>4], upperHex[v&15])
			}
			i += 2
		case c <= ' ' || c >= 0x7f || strings.IndexByte("\"<>\\^`{|}", c) >= 0:
			b = append(b, '%', upperHex[c>>4], upperHex[c&15])
		default:
			b = append(b, c)
		}
	}
	return string(b)
}

// isOdd tells whether Canonical may change c.
func isOdd(c rune) bool {
	return c <= ' ' || c >= 0x7f || strings.ContainsRune("%\"<>\\^`{|}", c)
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f'
}

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}

func isUnreserved(c byte) bool {
	return c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

// WireTarget is the request target that is sent for an entry: the logged bytes, with only those escaped that would break
// the request line. The absolute form becomes the origin form, since its host is not the target's. A fragment is left out: it
// is no part of a target (RFC 9112 section 3.2), and each proxy does something else with it. ok is false for what no proxy could
// map to a resource (no request line, CONNECT, a target that is no path).
func WireTarget(e *accesslog.Entry) (target string, ok bool) {
	target, _, _ = strings.Cut(e.Target, "#")
	switch {
	case e.Method == "" || e.Method == http.MethodConnect:
		return "", false
	case target == "*":
		return target, e.Method == http.MethodOptions
	case !strings.HasPrefix(target, "/"):
		u, err := url.Parse(target)
		if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			return "", false
		}
		_, rest, _ := strings.Cut(target, "://")
		i := strings.IndexAny(rest, "/?")
		if i < 0 {
			return "/", true
		}
		target = rest[i:]
		if target[0] == '?' {
			target = "/" + target
		}
	}
	clean := true
	for i := 0; i < len(target) && clean; i++ {
		clean = target[i] > ' ' && target[i] != 0x7f
	}
	if clean {
		return target, true
	}
	var b []byte
	for i := 0; i < len(target); i++ {
		if c := target[i]; c <= ' ' || c == 0x7f {
			b = append(b, '%', upperHex[c>>4], upperHex[c&15])
		} else {
			b = append(b, c)
		}
	}
	return string(b), true
}
