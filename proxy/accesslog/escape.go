package accesslog

import "unicode/utf8"

const (
	// maxField bounds, in bytes, what a line takes from one field that a client
	// fills, so that long URLs cannot fill the disk in a few requests.
	maxField = 4096

	// cutMark follows a field that was cut at maxField.
	cutMark = "..."

	hexDigits = "0123456789abcdef"
)

// plain holds true for the bytes that stand for themselves in a JSON string.
var plain = func() (t [256]bool) {
	for c := 0x20; c < utf8.RuneSelf; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// appendString appends s as a JSON string (RFC 8259 section 7): quotes,
// backslashes and control characters escaped, each byte that is not part of
// valid UTF-8 replaced by U+FFFD, and U+2028 and U+2029 escaped because some
// readers take them for line ends.
func appendString[T []byte | string](dst []byte, s T) []byte {
	cut := len(s) > maxField
	if cut {
		s = s[:maxField]
	}
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if plain[c] {
			i++
			continue
		}
		if c < utf8.RuneSelf {
			dst = append(dst, s[start:i]...)
			dst = appendEscaped(dst, c)
			i++
			start = i
			continue
		}
		r, size := decodeRune(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			dst = append(dst, s[start:i]...)
			dst = append(dst, `\ufffd`...)
			start = i + size
		case r == '\u2028' || r == '\u2029':
			dst = append(dst, s[start:i]...)
			dst = append(dst, `\u202`...)
			dst = append(dst, hexDigits[r&0xf])
			start = i + size
		}
		i += size
	}
	dst = append(dst, s[start:]...)
	if cut {
		dst = append(dst, cutMark...)
	}
	return append(dst, '"')
}

// decodeRune decodes the first rune of s without a conversion that allocates.
func decodeRune[T []byte | string](s T) (rune, int) {
	var b [utf8.UTFMax]byte
	return utf8.DecodeRune(b[:copy(b[:], s)])
}

func appendEscaped(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, `\b`...)
	case '\f':
		return append(dst, `\f`...)
	case '\n':
		return append(dst, `\n`...)
	case '\r':
		return append(dst, `\r`...)
	case '\t':
		return append(dst, `\t`...)
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf])
}
