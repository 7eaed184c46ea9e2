package invalidation

import (
	"errors"
	"fmt"
	"math/bits"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// Kind says how a fact's scope is meant.
type Kind uint8

const (
	// URL is one URL with all its variants, methods and header keys:
	// "http://host/path?query" in the form of a key's first line, or
	// "//host/path?query" for both schemes.
	URL Kind = iota + 1
	// Tag is a surrogate key.
	Tag
	// Prefix is the beginning of URLs: "http://host/path", "//host/path", or
	// "/path" on every host.
	Prefix
	// Host is a host as keys have it, with a port that is not the scheme's own.
	Host
	// All is everything; its scope is empty.
	All
	// HostTag is a surrogate key on one host alone: the host as keys have it, a
	// space, and the tag.
	HostTag

	kinds
)

// Kinds are the names of all kinds, in order from URL on.
func Kinds() []string { return []string{"url", "tag", "prefix", "host", "all", "host-tag"} }

// String is the kind's name in metrics and in the log of purges.
func (k Kind) String() string {
	if k >= URL && k < kinds {
		return Kinds()[k-URL]
	}
	return "unknown"
}

const (
	// MaxScope bounds a scope, in bytes; longer than any URL that is served.
	MaxScope = 16 << 10
	// MaxFacts bounds the facts of one purge.
	MaxFacts = 4096
)

// Fact says that what was fetched before it is invalid, as far as its scope
// goes: hard, or, when soft, only stale from now on.
type Fact struct {
	Kind  Kind
	Soft  bool
	Scope string
}

// MaxPurge bounds a purge's facts in bytes, so that it fits into one message to
// the peers.
const MaxPurge = 512 << 10

// ValidatePurge tells what is wrong with the facts of a purge.
func ValidatePurge(facts []Fact) error {
	if len(facts) == 0 || len(facts) > MaxFacts {
		return fmt.Errorf("a purge of %d scopes; valid is 1 to %d", len(facts), MaxFacts)
	}
	size := 0
	for i := range facts {
		if err := facts[i].Validate(); err != nil {
			return err
		}
		size += len(facts[i].Scope) + 4
	}
	if size > MaxPurge {
		return fmt.Errorf("a purge of %d bytes; valid is up to %d", size, MaxPurge)
	}
	return nil
}

// Validate tells what is wrong with a fact that came from elsewhere.
func (f Fact) Validate() error {
	switch {
	case f.Kind < URL || f.Kind >= kinds:
		return fmt.Errorf("kind %d is unknown", f.Kind)
	case len(f.Scope) > MaxScope:
		return fmt.Errorf("scope of %d bytes, valid is up to %d", len(f.Scope), MaxScope)
	case (f.Scope == "") != (f.Kind == All):
		return errors.New("a scope is needed, except to purge everything")
	case f.Kind == HostTag && !validHostTag(f.Scope):
		return fmt.Errorf("%q is no host and tag (valid is the host, a space, and the tag)", f.Scope)
	case f.Kind == URL && formOf(f.Scope) == formPath, f.Kind == Prefix && formOf(f.Scope) == formNone, f.Kind == URL && formOf(f.Scope) == formNone:
		return fmt.Errorf("%q is no %s", f.Scope, f.Kind)
	}
	return nil
}

// form is how a URL or prefix is written.
type form uint8

const (
	formFull form = iota // http://host/path
	formAny              // //host/path
	formPath             // /path
	formNone

	forms = formNone
)

func formOf(scope string) form {
	switch {
	case strings.HasPrefix(scope, "//"):
		return formAny
	case strings.HasPrefix(scope, "/"):
		return formPath
	case strings.Contains(scope, "://"):
		return formFull
	}
	return formNone
}

func validHostTag(scope string) bool {
	host, tag, ok := strings.Cut(scope, " ")
	return ok && host != "" && tag != "" && !strings.Contains(tag, " ")
}

// hash names a scope. Two scopes with one hash purge each other's objects, which
// is more than was asked for and costs a fetch.
func hash(k Kind, scope string) uint64 {
	if k == HostTag {
		host, tag, _ := strings.Cut(scope, " ")
		return hostTagHash(xxhash.Sum64String(host), tag)
	}
	h := xxhash.Sum64String(scope)
	return h*0x9E3779B97F4A7C15 ^ uint64(k)<<56 ^ h>>29
}

// hostTagHash names a tag on a host whose name has the hash given. It is made of
// two hashes, so that a check need not join two strings.
func hostTagHash(host uint64, tag string) uint64 {
	h := bits.RotateLeft64(host, 32)*0xC2B2AE3D27D4EB4F ^ xxhash.Sum64String(tag)
	return h*0x9E3779B97F4A7C15 ^ uint64(HostTag)<<56 ^ h>>29
}

// Subject is what facts are held against.
type Subject struct {
	// Key is the object's key text (docs/keys.md); its first line has the URL.
	Key string
	// Tags are its surrogate keys.
	Tags []string
	// Epoch and Incarnation are those at which its fetch began.
	Epoch, Incarnation uint64
}

// url returns the URL of a key text, and where its authority and its path begin.
func (s *Subject) url() (url string, host, path int, ok bool) {
	line := s.Key
	if i := strings.IndexByte(line, '\n'); i >= 0 {
		line = line[:i]
	}
	_, url, ok = strings.Cut(line, " ")
	if !ok {
		return "", 0, 0, false
	}
	host = strings.Index(url, "://")
	if host < 0 {
		return "", 0, 0, false
	}
	host += len("://")
	path = strings.IndexByte(url[host:], '/')
	if path < 0 {
		// A key without a path: OPTIONS *, which nothing is stored for.
		return url, host, len(url), true
	}
	return url, host, host + path, true
}
