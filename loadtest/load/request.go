package load

import (
	"strconv"

	"weir/loadtest/selfcheck"
)

// request is what is sent, and what the answer has to be. It is reused; a Source fills it in anew each time.
type request struct {
	method  string // GET, HEAD, or what a log says
	target  []byte // as it is sent
	name    []byte // by which the body proves itself; empty: target
	size    int64  // of the whole body; -1: not known
	status  int    // the only right one; 0: 200, and 206 or 304 where they were asked for
	from    int64  // first byte asked for; -1: all of it
	to      int64  // last byte asked for
	version int64  // of which the client says it has it; -1: no condition
	floor   uint64 // an older version than this is stale
	object  int64  // number in the catalogue; -1: none
	verify  bool   // compare the body
}

// clear makes a plain GET of it.
func (r *request) clear() {
	*r = request{method: "GET", target: r.target[:0], name: r.name[:0], size: -1, from: -1, version: -1, object: -1}
}

// bodyName is the name of the self-checking body.
func (r *request) bodyName() []byte {
	if len(r.name) > 0 {
		return r.name
	}
	return r.target
}

// appendTo writes the request with the given fields, which end with CRLF each. last: the connection ends with it.
func (r *request) appendTo(b []byte, fields string, last bool) []byte {
	b = append(b, r.method...)
	b = append(b, ' ')
	b = append(b, r.target...)
	b = append(b, " HTTP/1.1\r\n"...)
	b = append(b, fields...)
	if r.from >= 0 {
		b = append(b, "Range: bytes="...)
		b = strconv.AppendInt(b, r.from, 10)
		b = append(b, '-')
		b = strconv.AppendInt(b, r.to, 10)
		b = append(b, "\r\n"...)
	}
	if r.version >= 0 {
		b = append(b, "If-None-Match: "...)
		b = AppendTag(b, uint64(r.version))
		b = append(b, "\r\n"...)
	}
	if last {
		b = append(b, "Connection: close\r\n"...)
	}
	if r.method == "POST" || r.method == "PUT" || r.method == "PATCH" {
		b = append(b, "Content-Length: 0\r\n"...)
	}
	return append(b, "\r\n"...)
}

// AppendTag appends the entity tag that the scripted origin gives to a version of a body.
func AppendTag(b []byte, version uint64) []byte {
	b = append(b, `"v`...)
	b = strconv.AppendUint(b, version, 10)
	return append(b, '"')
}

// seed of the body in a version.
func (r *request) seed(version uint64) selfcheck.Seed {
	return selfcheck.SeedOfBytes(r.bodyName(), version)
}
