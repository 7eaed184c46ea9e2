package policy

import (
	"bytes"
	"slices"
	"strings"
)

// A path is in doubt when an origin may read it as another path than the policy
// was chosen by. What stands at "/static/..;/account" is a page of /account for
// some servers, and no static file. Such a request is passed on as it came; its
// answer is not stored, and nothing stored answers it.

// InDoubt reports whether some origin may read q's path as another than r, the
// rule that Match returned, was chosen by. Two kinds of paths are in doubt:
// those that may hold a dot segment, a backslash or a control character once
// decoded, however often they were encoded; and those that fall under another
// rule when "%2F" is taken for a slash, slashes are merged, or what stands behind
// a ";" is left out, unless a pattern of r spells that out. It allocates nothing,
// unless the path is longer than 1000 bytes.
func (s *Set) InDoubt(r *Rule, q *Request) bool {
	marks := marksOf(q.Path)
	switch {
	case marks == 0:
		return false
	case marks&markEncoded != 0:
		return s.decodedInDoubt(r, q, marks)
	case dotSegment(q.Path):
		return true
	}
	return s.inDoubt(r, q, q.Path, q.Path, marks)
}

// decodedInDoubt is InDoubt for a path that has to be normalised and decoded first.
func (s *Set) decodedInDoubt(r *Rule, q *Request, marks pathMarks) bool {
	var room, decodedRoom [1000]byte
	path := appendURI(room[:0], q.Path, &pathClasses)
	decoded, fault := decodeFully(decodedRoom[:0], path)
	if fault || dotSegment(decoded) {
		return true
	}
	return s.inDoubt(r, q, path, decoded, marks)
}

// inDoubt reports whether the path, which holds no dot segment however it is decoded,
// falls under another rule in a reading that its marks give a reason for.
func (s *Set) inDoubt(r *Rule, q *Request, path, decoded []byte, marks pathMarks) bool {
	if s.all != nil {
		return false
	}
	readings := uint8(0)
	if marks&markEncoded != 0 && !r.spellsOut("%") {
		readings |= 1
	}
	if marks&(markEncoded|markParameters) != 0 && !r.spellsOut(";") {
		readings |= 2
	}
	if marks&(markEncoded|markParameters|markSlashes) != 0 && !r.spellsOut("//") {
		readings |= 4 // without its parameters, "/;/a" is "//a"
	}
	for reading := uint8(1); reading < 8; reading++ {
		if reading&^readings == 0 && s.readsOtherwise(r, q, path, decoded, reading) {
			return true
		}
	}
	return false
}

// readsOtherwise reports whether the path falls under another rule in a reading:
// decoded (bit 0), without what stands behind ";" (bit 1), with slashes merged
// (bit 2).
func (s *Set) readsOtherwise(r *Rule, q *Request, path, decoded []byte, reading uint8) bool {
	var room, normalRoom [1000]byte
	from := path
	if reading&1 != 0 {
		from = decoded
	}
	read := append(room[:0], from...)
	if reading&2 != 0 {
		read = cutParameters(read[:0], read)
	}
	if reading&4 != 0 {
		read = mergeSlashes(read[:0], read)
	}
	normal := appendURI(normalRoom[:0], read, &pathClasses)
	return !bytes.Equal(normal, path) && s.find(q, normal) != r
}

// spellsOut reports whether a path pattern of the rule holds s.
func (r *Rule) spellsOut(s string) bool {
	return slices.ContainsFunc(r.Match.Paths, func(p string) bool { return strings.Contains(p, s) })
}

// pathMarks say what in a path, as it was sent, may be read in more than one way.
type pathMarks uint8

const (
	// markEncoded: normalising or decoding may change the path, or it holds what no
	// path holds for a good reason.
	markEncoded pathMarks = 1 << iota
	// markParameters: there is a ";".
	markParameters
	// markSlashes: a slash follows a slash.
	markSlashes
	// markDots: a dot begins a segment.
	markDots
)

// encodedBytes are the bytes that set markEncoded.
var encodedBytes = func() (t [256]bool) {
	for c := range t {
		t[c] = pathClasses[c] != uriKeep || c == '\\' || c == '#'
	}
	return t
}()

// marksOf returns the marks of a path; one without any is read in one way only.
func marksOf(path []byte) pathMarks {
	var marks pathMarks
	before := byte(0)
	for _, c := range path {
		switch {
		case encodedBytes[c]:
			marks |= markEncoded
		case c == ';':
			marks |= markParameters
		case before != '/':
		case c == '/':
			marks |= markSlashes
		case c == '.':
			marks |= markDots
		}
		before = c
	}
	return marks
}

// maxDecodings is how often a path is decoded. What still holds a triplet then
// is in doubt.
const maxDecodings = 4

// decodeFully appends what is left of a path when nothing can be decoded any
// more. fault tells of what no path holds for a good reason: a backslash, a
// control character, an overlong form of UTF-8.
func decodeFully(dst, path []byte) (decoded []byte, fault bool) {
	decoded = append(dst, path...)
	for range maxDecodings {
		if suspicious(decoded) {
			return decoded, true
		}
		before := len(decoded)
		if decoded = decodeOnce(decoded); len(decoded) == before {
			return decoded, false
		}
	}
	return decoded, true
}

// decodeOnce decodes triplets in place, and what looks like a dot or a slash to
// servers that fold characters to ASCII. What it changes is shorter afterwards.
func decodeOnce(path []byte) []byte {
	out := path[:0]
	for i := 0; i < len(path); {
		if v, ok := triplet(path[i:]); ok {
			out = append(out, v)
			i += 3
			continue
		}
		if c, n := lookalike(path[i:]); n > 0 {
			out = append(out, c)
			i += n
			continue
		}
		out = append(out, path[i])
		i++
	}
	return out
}

// lookalike returns the ASCII character that the UTF-8 at the head of s is folded
// to by compatibility mappings, and its length; 0 for every other.
func lookalike(s []byte) (c byte, n int) {
	if len(s) < 3 || s[0] < 0xe2 || s[0] > 0xef {
		return 0, 0
	}
	switch string(s[:3]) {
	case "\u2024", "\uff0e", "\ufe52", "\u3002", "\uff61":
		return '.', 3
	case "\u2044", "\u2215", "\uff0f", "\u29f8":
		return '/', 3
	case "\uff3c", "\u2216", "\ufe68", "\u29f5":
		return '\\', 3
	case "\uff05":
		return '%', 3
	case "\uff1b":
		return ';', 3
	}
	return 0, 0
}

// suspicious reports whether a path holds a backslash, a control character, or a
// byte sequence that only overlong forms of UTF-8 have.
func suspicious(path []byte) bool {
	for i, c := range path {
		switch {
		case c < ' ' || c == 0x7f || c == '\\':
			return true
		case c == 0xc0 || c == 0xc1:
			return true
		case c < 0xe0 || i+1 == len(path):
		case c == 0xe0 && path[i+1] >= 0x80 && path[i+1] < 0xa0, c == 0xf0 && path[i+1] >= 0x80 && path[i+1] < 0x90,
			c >= 0xf8 && path[i+1] >= 0x80 && path[i+1] < 0xc0:
			return true
		}
	}
	return false
}

// dotSegment reports whether a decoded path holds a segment that some server
// takes for "." or "..": dots, with or without spaces around them, up to a ";",
// "?" or "#".
func dotSegment(path []byte) bool {
	dots, cut := 0, false // dots is below 0 in a segment that holds something else
	for _, c := range path {
		switch {
		case c == '/':
			if dots > 0 {
				return true
			}
			dots, cut = 0, false
		case cut || c == ' ':
		case c == ';' || c == '?' || c == '#':
			cut = true
		case c != '.':
			dots = -1
		case dots >= 0:
			dots++
		}
	}
	return dots > 0
}

// mergeSlashes appends path with runs of slashes made one. dst may begin where
// path does.
func mergeSlashes(dst, path []byte) []byte {
	before := byte(0)
	for _, c := range path {
		if c != '/' || before != '/' {
			dst = append(dst, c)
		}
		before = c
	}
	return dst
}

// cutParameters appends path without what stands behind a ";" in its segments,
// and up to the first "?" or "#". dst may begin where path does.
func cutParameters(dst, path []byte) []byte {
	cut := false
	for _, c := range path {
		switch c {
		case '?', '#':
			return dst
		case ';':
			cut = true
		case '/':
			cut = false
		}
		if !cut {
			dst = append(dst, c)
		}
	}
	return dst
}

// doubtful is why a response is not stored although it may be: its type is not
// what the rule was chosen by, or it holds what the key does not.
func doubtful(r *Rule, q *Request, resp *Response) Reason {
	switch {
	case !r.typeFits(q, resp):
		return ReasonContentType
	case r.Key.ForwardQuery && reflects(r, q, resp.Fields):
		return ReasonQueryReflected
	}
	return ReasonNone
}
