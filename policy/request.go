package policy

import (
	"net/textproto"
	"strings"
)

// RequestHeader gives access to the fields of a client's request.
// *fasthttp.RequestHeader satisfies it. Returned slices are borrowed: they are
// valid until the request is answered, and must not be changed.
type RequestHeader interface {
	// Peek returns the value of the first field of that name, nil when absent.
	Peek(name string) []byte
	// PeekAll returns the values of all fields of that name, in order. The
	// outer slice is valid until the next call of PeekAll.
	PeekAll(name string) [][]byte
}

// Request is what policy needs to know of a client's request. The proxy fills
// it once for each request. All slices are borrowed from the request.
type Request struct {
	// Method as it was sent: methods are case-sensitive (RFC 9110 section 9.1).
	Method string
	// Scheme the client used, "http" or "https".
	Scheme string
	// Host is validated, in lower case, without the scheme's default port.
	Host []byte
	// Path is the raw path as it was sent, beginning with "/" (or "*").
	Path []byte
	// Query is what follows the first "?", nil when there was none and empty
	// when there was a bare "?".
	Query []byte
	// Header reaches every other field; a rule's key, match and Vary need it.
	Header RequestHeader

	// What steers caching, picked out once so that the hit path need not
	// search for each. Values of repeated fields are joined with ", ".
	CacheControl      []byte
	Pragma            []byte
	Authorization     []byte
	Range             []byte
	IfRange           []byte
	IfMatch           []byte
	IfNoneMatch       []byte
	IfModifiedSince   []byte
	IfUnmodifiedSince []byte
}

// Conditional tells whether the request carries any precondition
// (RFC 9110 section 13.1), If-Range not counted.
func (r *Request) Conditional() bool {
	return r.IfNoneMatch != nil || r.IfModifiedSince != nil || r.IfMatch != nil || r.IfUnmodifiedSince != nil
}

// Field is one header field of a response. Name is in canonical MIME form.
type Field struct{ Name, Value string }

// Fields are the header fields of a response, in order. They are immutable
// once they belong to a stored object.
type Fields []Field

// Get returns the value of the first field of that canonical name, or "".
func (f Fields) Get(name string) string {
	for i := range f {
		if f[i].Name == name {
			return f[i].Value
		}
	}
	return ""
}

// Has tells whether a field of that canonical name is present.
func (f Fields) Has(name string) bool {
	for i := range f {
		if f[i].Name == name {
			return true
		}
	}
	return false
}

// Values returns the values of all fields of that canonical name, in order.
func (f Fields) Values(name string) []string {
	var v []string
	for i := range f {
		if f[i].Name == name {
			v = append(v, f[i].Value)
		}
	}
	return v
}

// Joined returns all values of that canonical name joined with ", ", which
// RFC 9110 section 5.3 makes equal to the separate lines.
func (f Fields) Joined(name string) string {
	v := f.Values(name)
	switch len(v) {
	case 0:
		return ""
	case 1:
		return v[0]
	}
	return strings.Join(v, ", ")
}

// CanonicalName returns the canonical MIME form of a field name, the form in
// which every name is kept here.
func CanonicalName(name string) string { return textproto.CanonicalMIMEHeaderKey(name) }
