package proxy

import (
	"strings"

	"github.com/valyala/fasthttp"

	"weir/policy"
)

// A header that is copied for each hit is copied field by field, name and value
// each, and written so. Most fields of a stored response never change: folded into
// one, they are one copy. The folded field has the name of the first, and a value
// that holds the others as the lines that they will be.
//
// Fasthttp takes the line ends out of what it is given as a value, and rightly. So
// the field is set with room for the value, and the value is written there: Peek
// returns the header's own memory. TestFolded holds that it does.

// setFolded is setHeader with the fields folded that nobody sets or looks for later.
// h must be as fasthttp resets it, or a copy of such a header.
func setFolded(h *fasthttp.ResponseHeader, code int, fields policy.Fields) {
	if !fold(h, code, fields) {
		setHeader(h, code, fields)
	}
}

// fold reports false where the fields cannot be folded; h is of no use then.
func fold(h *fasthttp.ResponseHeader, code int, fields policy.Fields) bool {
	carrier := -1
	size := 0
	for i := range fields {
		f := &fields[i]
		switch {
		case foldable(f):
			if carrier < 0 && f.Name != "Date" { // which fasthttp takes from nobody
				carrier = i
			}
			size += len(f.Name) + len(f.Value) + len(": \r\n")
		case f.Name == "Set-Cookie", fields[:i].Has(f.Name):
			return false // repeated lines have a way of their own
		}
	}
	if carrier < 0 {
		return false
	}
	h.SetStatusCode(code)
	if m := statusMessage(code); m == "" {
		return false
	}
	value := make([]byte, 0, size)
	value = append(value, fields[carrier].Value...)
	for i := range fields {
		f := &fields[i]
		switch {
		case i == carrier || unsent(f.Name):
		case foldable(f):
			value = append(value, "\r\n"...)
			value = append(value, f.Name...)
			value = append(value, ": "...)
			value = append(value, f.Value...)
		default:
			h.Set(f.Name, f.Value)
		}
	}
	h.Set(fields[carrier].Name, string(value))
	room := h.Peek(fields[carrier].Name)
	if len(room) != len(value) {
		return false
	}
	copy(room, value)
	return true
}

// foldable tells whether the field is one that neither fasthttp treats on its own
// nor an answer sets, and whether it is one line, whatever was checked before.
func foldable(f *policy.Field) bool {
	switch f.Name {
	case "Age", "Cache-Status", "Content-Range", // set for an answer
		"Content-Type", "Content-Encoding", "Server", "Set-Cookie":
		return false
	}
	return !unsent(f.Name) && oneLine(f)
}

// oneLine tells whether the field is written as one line.
func oneLine(f *policy.Field) bool {
	return !strings.ContainsAny(f.Name, "\r\n:") && !strings.ContainsAny(f.Value, "\r\n\x00")
}

// unsent tells whether the field is the connection's, which fasthttp sets itself.
func unsent(name string) bool {
	switch name {
	case "Content-Length", "Transfer-Encoding", "Connection", "Trailer":
		return true
	}
	return false
}
