package policy

// Percent-encoding in paths and queries is normalised only where RFC 3986
// section 6.2.2 calls two spellings equal: hexadecimal digits in upper case
// (6.2.2.1), unreserved characters decoded (6.2.2.2). Bytes that may not stand
// in a URI at all (space, controls, 0x80 and above) become triplets. All else,
// dot segments and doubled slashes included, stays as it was sent.

// uriClass says what normalising does with one byte of a path or a query.
type uriClass uint8

const (
	uriKeep   uriClass = iota // stands as it is
	uriEscape                 // becomes a triplet
	uriMark                   // "%", which may begin a triplet
)

var (
	pathClasses  = newURIClasses(true)
	queryClasses = newURIClasses(false)
)

func newURIClasses(path bool) (t [256]uriClass) {
	for c := range t {
		switch {
		case c == '%':
			t[c] = uriMark
		case c <= ' ' || c >= 0x7f:
			t[c] = uriEscape
		case c == '?' && path:
			// Were it left, a path could pass for a path with a query.
			t[c] = uriEscape
		}
	}
	return t
}

// appendURI appends raw to dst, normalised.
func appendURI(dst, raw []byte, classes *[256]uriClass) []byte {
	i := 0
	for i < len(raw) && classes[raw[i]] == uriKeep {
		i++
	}
	dst = append(dst, raw[:i]...)
	if i == len(raw) {
		return dst
	}
	return appendURISlow(dst, raw[i:], classes)
}

// appendURISlow is appendURI for what begins with a byte that needs thought.
func appendURISlow(dst, raw []byte, classes *[256]uriClass) []byte {
	// A "%" that begins no triplet stays as it is, and no triplet is decoded
	// within two bytes behind it: "%%341" would become "%41" and be taken for
	// another URI at the next reading.
	guard := 0
	for i := 0; i < len(raw); {
		c := raw[i]
		switch classes[c] {
		case uriKeep:
			dst = append(dst, c)
			guard = max(guard-1, 0)
			i++
		case uriEscape:
			dst = appendTriplet(dst, c)
			guard = 0
			i++
		default:
			v, ok := triplet(raw[i:])
			switch {
			case !ok:
				dst = append(dst, '%')
				guard = 2
				i++
			case guard == 0 && unreserved(v):
				dst = append(dst, v)
				i += 3
			default:
				dst = appendTriplet(dst, v)
				guard = 0
				i += 3
			}
		}
	}
	return dst
}

// uriNormal tells whether appendURI would return raw unchanged; it may say no
// where that is so.
func uriNormal(raw []byte, classes *[256]uriClass) bool {
	for _, c := range raw {
		if classes[c] != uriKeep {
			return false
		}
	}
	return true
}

// unreserved as RFC 3986 section 2.3 has it.
func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '-' || c == '.' || c == '_' || c == '~'
}

// triplet returns the byte that the triplet at the head of s stands for.
func triplet(s []byte) (byte, bool) {
	if len(s) < 3 || s[0] != '%' {
		return 0, false
	}
	hi, lo := hexValue(s[1]), hexValue(s[2])
	if hi > 15 || lo > 15 {
		return 0, false
	}
	return hi<<4 | lo, true
}

// hexValue returns the value of a hexadecimal digit, 255 for any other byte.
func hexValue(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}

const upperHex = "0123456789ABCDEF"

func appendTriplet(dst []byte, c byte) []byte {
	return append(dst, '%', upperHex[c>>4], upperHex[c&15])
}

// appendPrintable appends s with everything that is not printable ASCII, and
// "%" itself, as triplets, so that no two values give one text.
func appendPrintable[T text](dst []byte, s T) []byte {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c < ' ' || c >= 0x7f || c == '%' {
			dst = appendTriplet(dst, c)
			continue
		}
		dst = append(dst, c)
	}
	return dst
}
