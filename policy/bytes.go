package policy

import "encoding/binary"

// CleanValue reports whether a field's value holds no control character but the tab
// (RFC 9110 section 5.5).
func CleanValue(value []byte) bool { return allFrom(value, ' ') || validValue(value) }

// Visible reports whether b holds no control character and no space.
func Visible(b []byte) bool { return allFrom(b, '!') }

// allFrom reports whether every byte of b is least or above, and none is DEL. It looks
// at eight bytes at a time; least is at most 0x80.
func allFrom(b []byte, least byte) bool {
	const (
		ones  = 0x0101010101010101
		highs = 0x80 * ones
	)
	below := uint64(least) * ones
	rest := b
	for len(rest) >= 8 {
		w := binary.LittleEndian.Uint64(rest)
		del := w ^ 0x7f*ones
		if ((w-below)&^w|(del-ones)&^del)&highs != 0 {
			return false
		}
		if rest = rest[8:]; len(rest) > 0 && len(rest) < 8 {
			rest = b[len(b)-8:] // some once more, in place of the last ones singly
		}
	}
	for _, c := range rest {
		if c < least || c == 0x7f {
			return false
		}
	}
	return true
}
