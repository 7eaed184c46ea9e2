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
func setFolded(h *fasthttp.ResponseHeader, code int, fields policy.Fields) {
	var single, folded policy.Fields
	for _, f := range fields {
		if foldable(f) {
			folded = append(folded, f)
		} else {
			single = append(single, f)
		}
	}
	if len(folded) < 2 {
		setHeader(h, code, fields)
		return
	}
	first := folded[0]
	value := []byte(first.Value)
	for _, f := range folded[1:] {
		value = append(value, "\r\n"...)
		value = append(value, f.Name...)
		value = append(value, ": "...)
		value = append(value, f.Value...)
	}
	setHeader(h, code, append(single, policy.Field{Name: first.Name, Value: strings.Repeat("-", len(value))}))
	if room := h.Peek(first.Name); len(room) == len(value) {
		copy(room, value)
		return
	}
	setHeader(h, code, fields)
}

// foldable tells whether the field is one that neither fasthttp treats on its own
// nor an answer sets, and whether it is one line, whatever was checked before.
func foldable(f policy.Field) bool {
	switch f.Name {
	case "Age", "Cache-Status", "Content-Range", // set for an answer
		"Content-Type", "Content-Encoding", "Content-Length", "Server", "Set-Cookie", "Connection", "Trailer", "Transfer-Encoding":
		return false
	}
	return !strings.ContainsAny(f.Name, "\r\n:") && !strings.ContainsAny(f.Value, "\r\n\x00")
}
