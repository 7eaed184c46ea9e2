package policy

import (
	"net/textproto"
	"strings"
	"unsafe"
)

// Request is the one canonical form of a client's request: key, matching, Vary,
// storing and what the origin is sent are all made from it. View makes it once
// for each request. Everything in it is borrowed from the memory of the request,
// but for what Clone returns.
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
	// Fields are the fields that reach the origin, in the order sent, every
	// line of them: no hop-by-hop field, none that Connection names, and none
	// that tells an origin another host, scheme, path, method or client than
	// the key does.
	Fields Fields

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

// steering are the fields of the request that steer caching, in the order of
// the constants that name them.
func (r *Request) steering() [steers]*[]byte {
	return [steers]*[]byte{
		&r.CacheControl, &r.Pragma, &r.Authorization, &r.Range, &r.IfRange, &r.IfMatch, &r.IfNoneMatch,
		&r.IfModifiedSince, &r.IfUnmodifiedSince,
	}
}

// Clone copies the request into memory of its own, in two allocations.
func (r *Request) Clone() Request {
	c := *r
	parts := [...]*[]byte{&c.Host, &c.Path, &c.Query}
	steering := c.steering()
	size := 0
	for _, b := range parts {
		size += len(*b)
	}
	for _, b := range steering {
		size += len(*b)
	}
	for i := range r.Fields {
		size += len(r.Fields[i].Name) + len(r.Fields[i].Value)
	}
	room := make([]byte, 0, size)
	keep := func(b *[]byte) {
		if *b != nil {
			from := len(room)
			room = append(room, *b...)
			*b = room[from:len(room):len(room)]
		}
	}
	for _, b := range parts {
		keep(b)
	}
	for _, b := range steering {
		keep(b)
	}
	c.Fields = make(Fields, len(r.Fields))
	for i := range r.Fields {
		f := &r.Fields[i]
		from := len(room)
		room = append(append(room, f.Name...), f.Value...)
		middle := from + len(f.Name)
		c.Fields[i] = Field{Name: borrow(room[from:middle]), Value: borrow(room[middle:])}
	}
	return c
}

// borrow returns b as a string without copying it. b must not change for as
// long as the string is used.
func borrow(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	return unsafe.String(&b[0], len(b))
}

// bytesOf returns s as bytes without copying it. They must not be changed.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// Field is one header field. Name is in canonical MIME form.
type Field struct{ Name, Value string }

// Fields are the header fields of a message, in order. They are immutable once
// they belong to a stored object.
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

// Without returns f without the fields of that canonical name. It writes into
// the memory of f.
func (f Fields) Without(name string) Fields {
	out := f[:0]
	for i := range f {
		if f[i].Name != name {
			out = append(out, f[i])
		}
	}
	return out
}

// Clone returns the fields in memory of their own, names and values included.
func (f Fields) Clone() Fields {
	c := make(Fields, len(f))
	for i := range f {
		c[i] = Field{strings.Clone(f[i].Name), strings.Clone(f[i].Value)}
	}
	return c
}

// CanonicalName returns the canonical MIME form of a field name, the form in
// which every name is kept here.
func CanonicalName(name string) string { return textproto.CanonicalMIMEHeaderKey(name) }
