package configs

import (
	"bytes"
	"crypto/sha256"
	"io"
	"os"
	"sync"
)

// defaultTagHeaders are policy.DefaultTagFields.
var defaultTagHeaders = []string{"Surrogate-Key", "Cache-Tag", "Xkey", "Cache-Tags", "X-Cache-Tags", "Purge-Cache-Tags", "X-Magento-Tags"}

// MinSecret is the least length of a secret that nodes share, in bytes without
// white space around it: what 64 bits of randomness take in hexadecimal digits.
const MinSecret = 16

const validSecret = "a file that holds the secret, 16 bytes or more, such as openssl rand -hex 32 prints"

// checkSecretFile reports a secret that is missing, or that somebody could find by
// trying.
func checkSecretFile(v value, path string) {
	if !readable(v, path, "a file that holds the secret") {
		return
	}
	f, err := os.Open(path)
	if err != nil {
		return // It was just seen to be readable.
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, MiB))
	if err != nil {
		return
	}
	switch b = bytes.TrimSpace(b); {
	case len(b) == 0:
		v.fault("a file that holds the secret", "%s is empty", quote(path))
	case len(b) < MinSecret:
		v.fault(validSecret, "the secret in %s has a length of %d", quote(path), len(b))
	case len(bytes.Trim(b, string(b[:1]))) == 0:
		v.fault(validSecret, "the secret in %s is one character again and again", quote(path))
	}
}

// commonTokens are words that stand in every list of passwords, and the ones that
// examples of this program use.
var commonTokens = []string{
	"password", "passw0rd", "secret", "token", "admin", "administrator", "root", "test", "testing", "demo", "example", "changeme", "change-me",
	"letmein", "welcome", "qwerty", "abc123", "123456", "12345678", "123456789", "1234567890", "111111", "000000", "weir", "purge", "cache",
	"varnish", "magento", "wordpress", "drupal", "typo3", "shopware", "foo", "bar", "foobar", "hello", "default", "guest", "user", "key", "none",
	"null", "undefined", "TOKEN", "SECRET", "PASSWORD", "xxx", "xxxx", "xxxxxxxx", "CHANGEME", "todo", "TODO", "token123", "secret123", "admin123", "password1", "password123",
}

// weakness is what is known of a token by its digest.
type weakness uint8

const (
	weakEmpty weakness = iota + 1
	weakShort
	weakCommon
)

// weakDigests are the digests of tokens that are found at once: of up to two
// bytes, and the common ones, also with the line end that echo adds.
var weakDigests = sync.OnceValue(func() map[[32]byte]weakness {
	m := make(map[[32]byte]weakness, 70_000)
	for a := range 256 {
		for b := range 256 {
			m[sha256.Sum256([]byte{byte(a), byte(b)})] = weakShort
		}
	}
	for _, w := range commonTokens {
		m[sha256.Sum256([]byte(w))] = weakCommon
		m[sha256.Sum256([]byte(w+"\n"))] = weakCommon
	}
	for a := range 256 {
		m[sha256.Sum256([]byte{byte(a)})] = weakShort
	}
	for _, s := range []string{"", "\n", "\r\n"} {
		m[sha256.Sum256([]byte(s))] = weakEmpty
	}
	return m
})

// checkWeakToken refuses a token that is hardly there, and warns of one that
// everybody tries first. Nothing of the token itself is repeated.
func checkWeakToken(v value, digest [32]byte) {
	const valid = "the SHA-256 of a token such as openssl rand -hex 32 prints"
	switch weakDigests()[digest] {
	case weakEmpty:
		v.fault(valid, "this is the digest of an empty token")
	case weakShort:
		v.fault(valid, "this is the digest of a token of one or two bytes, which is found at once")
	case weakCommon:
		v.warn("this is the digest of a word that everybody tries first; use a token such as openssl rand -hex 32 prints")
	}
}
