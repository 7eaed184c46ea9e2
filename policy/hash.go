package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// Hash names a key everywhere but on disk records, where the text stands
// beside it: the first 128 bits of the text's SHA-256, so that nobody can
// choose two requests that share one.
type Hash [16]byte

// HashKey returns the hash of a key text.
func HashKey(text []byte) Hash {
	sum := sha256.Sum256(text)
	return Hash(sum[:len(Hash{})])
}

// String is the hash in 32 lower case hexadecimal digits.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// ParseHash reads what String wrote; upper case digits are taken too.
func ParseHash(s string) (Hash, error) {
	var h Hash
	if len(s) != hex.EncodedLen(len(h)) {
		return Hash{}, fmt.Errorf("cannot parse key hash: it has %d characters, not %d", len(s), hex.EncodedLen(len(h)))
	}
	if _, err := hex.Decode(h[:], []byte(s)); err != nil {
		return Hash{}, fmt.Errorf("cannot parse key hash: %w", err)
	}
	return h, nil
}
