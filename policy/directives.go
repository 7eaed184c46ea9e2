package policy

// text lets the parsers read an origin's fields, which are strings, and a
// client's, which are borrowed bytes, without copying either.
type text interface{ ~string | ~[]byte }

// directive is one member of a Cache-Control field (RFC 9111 section 5.2).
type directive[T text] struct {
	name T
	// arg is the argument without its quotes; escapes in it stay as they are.
	arg T
	// hasArg: there was a "=".
	hasArg bool
	// quoted: the argument was one quoted-string.
	quoted bool
	// bad: the member does not follow the grammar. The name may still tell
	// what the sender was about.
	bad bool
}

// nextDirective cuts the first member off a Cache-Control value. ok is false
// when nothing is left. A quote that never closes does not swallow what comes
// behind it: a no-store that follows still counts.
func nextDirective[T text](s T) (d directive[T], rest T, ok bool) {
	i := 0
	for i < len(s) && (s[i] == ',' || isSpace(s[i])) {
		i++
	}
	if i == len(s) {
		return d, s[i:], false
	}
	start, eq := i, -1
	end := len(s)
	for i < end {
		switch c := s[i]; {
		case c == ',':
			end = i
			continue
		case c == '=' && eq < 0:
			eq = i
		case c == '"':
			if closing := closingQuote(s, i); closing >= 0 {
				i = closing
			} else {
				d.bad = true
			}
		}
		i++
	}
	member := s[start:end]
	rest = s[end:]
	if eq < 0 {
		d.name = trimRight(member)
		return d, rest, true
	}
	name, arg := s[start:eq], trimRight(s[eq+1:end])
	d.name = trimRight(name)
	d.hasArg = true
	if len(d.name) != len(name) || len(arg) > 0 && isSpace(arg[0]) {
		d.bad = true
	}
	d.arg = trimLeft(arg)
	if n := len(d.arg); n > 0 && d.arg[0] == '"' {
		if n < 2 || closingQuote(d.arg, 0) != n-1 {
			d.bad = true
		} else {
			d.arg, d.quoted = d.arg[1:n-1], true
		}
	}
	return d, rest, true
}

// closingQuote returns where the quoted-string that opens at s[i] closes, or
// -1 (RFC 9110 section 5.6.4).
func closingQuote[T text](s T, i int) int {
	for i++; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return -1
}

// isSpace: OWS (RFC 9110 section 5.6.3).
func isSpace(c byte) bool { return c == ' ' || c == '\t' }

func trimLeft[T text](s T) T {
	for len(s) > 0 && isSpace(s[0]) {
		s = s[1:]
	}
	return s
}

func trimRight[T text](s T) T {
	for len(s) > 0 && isSpace(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

func trim[T text](s T) T { return trimRight(trimLeft(s)) }

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + ('a' - 'A')
	}
	return c
}

// is compares s with a name in lower case, whatever the case of s.
func is[T text](s T, name string) bool {
	if len(s) != len(name) {
		return false
	}
	for i := 0; i < len(s); i++ {
		if lower(s[i]) != name[i] {
			return false
		}
	}
	return true
}

// isToken: RFC 9110 section 5.6.2.
func isToken[T text](s T) bool {
	for i := 0; i < len(s); i++ {
		if !isTokenByte(s[i]) {
			return false
		}
	}
	return len(s) > 0
}

func isTokenByte(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	switch c {
	case '!', '#', '$', '%', '&', '\'', '*', '+', '-', '.', '^', '_', '`', '|', '~':
		return true
	}
	return false
}

// maxDelta is what a number of seconds too large to matter counts as: 68
// years (RFC 9111 section 1.2.2).
const maxDelta = 1 << 31

// parseDelta reads delta-seconds: digits only, saturating at maxDelta.
func parseDelta[T text](s T) (seconds int64, ok bool) {
	if len(s) == 0 {
		return 0, false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c < '0' || c > '9' {
			return 0, false
		}
		if seconds = seconds*10 + int64(c-'0'); seconds > maxDelta {
			seconds = maxDelta
		}
	}
	return seconds, true
}
