package front

import (
	"strings"

	"weir/policy"
)

// A header that is copied for each hit is copied field by field, name and value
// each, and written so. Most fields of a stored response never change: folded into
// one, they are one copy. The folded field has the name of one of them, and a value
// that holds the others as the lines that they will be.
type folded struct {
	name  string
	value []byte
	// single are the fields that stand alone, each once.
	single policy.Fields
}

// fold folds the fields that nobody sets or looks for later. It reports false where
// that is not possible.
func fold(fields policy.Fields) (f folded, ok bool) {
	carrier, size := -1, 0
	for i := range fields {
		v := &fields[i]
		switch {
		case foldable(v):
			if carrier < 0 && v.Name != "Date" { // which fasthttp takes from nobody
				carrier = i
			}
			size += len(v.Name) + len(v.Value) + len(": \r\n")
		case v.Name == "Set-Cookie", fields[:i].Has(v.Name):
			return f, false // repeated lines have a way of their own
		}
	}
	if carrier < 0 {
		return f, false
	}
	f.name = fields[carrier].Name
	f.value = append(make([]byte, 0, size), fields[carrier].Value...)
	for i := range fields {
		v := &fields[i]
		switch {
		case i == carrier || unsent(v.Name):
		case foldable(v):
			f.value = append(f.value, "\r\n"...)
			f.value = append(f.value, v.Name...)
			f.value = append(f.value, ": "...)
			f.value = append(f.value, v.Value...)
		default:
			f.single = append(f.single, *v)
		}
	}
	return f, true
}

// foldable tells whether the field is one that neither fasthttp treats on its own
// nor an answer sets, and whether it is one line, whatever was checked before.
func foldable(f *policy.Field) bool {
	switch f.Name {
	case "Age", "Cache-Status", "Content-Range", "Location", // set for an answer
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
