package policy

import (
	"net/netip"
	"time"
)

// Rule is one policy of the configuration, compiled. The first rule whose
// Match fits a request decides everything about it. Immutable once in a Set.
type Rule struct {
	// Name is unique in its Set and appears in logs and in `weir key`.
	Name string
	// Index is the rule's place in its Set; NewSet assigns it.
	Index int
	// Origin names the pool that answers.
	Origin string
	// Pass sends every request straight to the origin, nothing is stored.
	Pass bool

	Match Match
	Key   KeySpec
	TTL   TTL

	// Vary says how requests are told apart by what responses vary on.
	Vary VaryRule
	// Forgo are kinds of reuse that RFC 9111 allows and this rule does without.
	Forgo Forgo
	// Cookies says what the cookies of a request mean that are not in the key.
	Cookies CookieMode

	// Underscores are the names of fields beyond letters, digits and "-" that
	// reach the origin. A Set holds them in canonical form.
	Underscores []string

	// Purge says who may use the PURGE method.
	Purge PurgeRule

	// IgnoreClient makes Cache-Control and Pragma of requests count for
	// nothing. The RFC's default is to honour them.
	IgnoreClient bool
	// ShowKey adds the key to Cache-Status.
	ShowKey bool
	// TagFields are the canonical names of the fields whose values are
	// surrogate keys; nil means DefaultTagFields.
	TagFields []string
	// TagLimit bounds them; an object with more is not stored.
	TagLimit TagLimit
	// StripTags removes TagFields from what clients get.
	StripTags bool

	// keysMade: the key holds a field that weir makes.
	keysMade bool
}

// VaryRule says how the fields that a response's Vary names select among its
// variants. The zero value normalises Accept-Encoding and Accept-Language, and
// everything counts.
type VaryRule struct {
	// Raw compares those two as any other field.
	Raw bool
	// Encodings and Languages, in lower case, are all that counts of the two
	// fields; the origin is sent no more than that either, so that its answer
	// fits everybody who gets it. nil: everything counts. A language stands for
	// its regions too: "de" for de-CH.
	Encodings, Languages []string
	// Ignore are the canonical names of fields that do not count.
	Ignore []string
}

// CookieMode says what the cookies of a request mean that are not in the key.
type CookieMode uint8

const (
	// CookiesAuto takes them for something that the answer may depend on.
	CookiesAuto CookieMode = iota
	// CookiesStrip keeps them from the origin, for GET and HEAD.
	CookiesStrip
	// CookiesIgnore sends them and vouches that the answer does not depend on
	// them.
	CookiesIgnore
)

// String is the word of the configuration.
func (m CookieMode) String() string {
	switch m {
	case CookiesAuto:
		return "auto"
	case CookiesStrip:
		return "strip"
	case CookiesIgnore:
		return "ignore"
	}
	return "unknown"
}

// PurgeRule says who may use the PURGE method: whoever is in one of the networks,
// or has one of the tokens. Both empty: nobody.
type PurgeRule struct {
	Networks []netip.Prefix
	Tokens   []string // names
	// Hosts are those that purges without a token reach, in the form of keys;
	// empty: the host of the request.
	Hosts []string
}

// Any tells whether somebody may.
func (p *PurgeRule) Any() bool { return len(p.Networks)+len(p.Tokens) > 0 }

// Forgo switches kinds of reuse off.
type Forgo struct {
	// Authorization: nothing is stored that was asked for with it.
	Authorization bool
	// Cookies: nothing is stored that sets one.
	Cookies bool
	// Date: a response without Last-Modified does not answer
	// If-Modified-Since by its Date.
	Date bool
	// Head: an answer to HEAD neither renews nor drops a stored GET.
	Head bool
	// MustUnderstand: no-store forbids storing beside must-understand as well.
	MustUnderstand bool
	// Parts: a 206 is not stored.
	Parts bool
	// Post: an answer to POST is not stored for GET.
	Post bool
}

// DefaultTagFields are the fields that carry surrogate keys: those of CDNs, of
// Varnish's xkey, and of what Drupal, TYPO3, FOSHttpCache and Magento send.
var DefaultTagFields = []string{"Surrogate-Key", "Cache-Tag", "Xkey", "Cache-Tags", "X-Cache-Tags", "Purge-Cache-Tags", "X-Magento-Tags"}

// TTL says how long responses are kept, where the response does not say or
// where the operator knows better. Zero values leave it to the response.
type TTL struct {
	// Default is the freshness lifetime of a response that states none.
	// It comes before heuristics.
	Default time.Duration
	// Override is the freshness lifetime of every response that may be stored
	// at all, whatever max-age, Expires or no-cache it states; no-store and
	// private still forbid storing.
	Override time.Duration
	// Min and Max bound the lifetime a response states; Max 0 is no bound.
	Min, Max time.Duration
	// Negative gives error statuses (300 and above) that state no lifetime
	// one of their own, and takes the place of ErrorMax for theirs. nil: as the
	// RFC says.
	Negative map[int]time.Duration
	// StaleWhileRevalidate and StaleIfError apply where the response does not
	// state its own (RFC 5861).
	StaleWhileRevalidate time.Duration
	StaleIfError         time.Duration
	// StaleIfUnreachable is how long after it became stale an object may still
	// be served when the origin cannot be reached at all (RFC 9111 section
	// 4.2.4 calls that disconnected), where nothing forbids it; 0 means
	// DefaultStaleIfUnreachable, less than 0 never.
	StaleIfUnreachable time.Duration
	// UnreachableStatus are the statuses, as pairs of the first and the last, by
	// which an origin says that what is behind it cannot be reached: they count as
	// if it could not be itself. nil means DefaultUnreachableStatus.
	UnreachableStatus [][2]int
	// ErrorMax is the longest that an error (400 and above, but 404, 410 and 451)
	// is kept whose status Negative does not name, whatever it states; 0 means
	// DefaultErrorMax, less than 0 keeps none.
	ErrorMax time.Duration
	// StaleDespite are the directives that StaleWhileRevalidate, StaleIfError
	// and StaleIfUnreachable override.
	StaleDespite Despite
	// HitForMiss is how long an uncacheable answer is remembered, so that
	// requests for it do not wait for each other; 0 means DefaultHitForMiss.
	HitForMiss time.Duration
	// HeuristicFraction of the time since Last-Modified is the lifetime of a
	// response that states none (RFC 9111 section 4.2.2); 0 means 0.1.
	HeuristicFraction float64
	// HeuristicMax bounds the heuristic lifetime; 0 means DefaultHeuristicMax.
	HeuristicMax time.Duration
	// NoHeuristic switches heuristics off.
	NoHeuristic bool
	// NoDate takes the time of receipt in place of the Date of a response.
	NoDate bool
	// Targets are the targeted fields (RFC 9213) that win over Cache-Control,
	// in order; nil means DefaultTargets. Empty, not nil: none.
	Targets []string
}

// Despite is a set of directives that forbid stale use.
type Despite uint8

const (
	// DespiteSMaxAge is s-maxage, which implies proxy-revalidate (RFC 9111 section
	// 5.2.2.10).
	DespiteSMaxAge Despite = 1 << iota
	// DespiteProxyRevalidate is proxy-revalidate.
	DespiteProxyRevalidate
	// DespiteMustRevalidate is must-revalidate.
	DespiteMustRevalidate
)

// DefaultTargets are the targeted cache control fields that weir obeys.
var DefaultTargets = []string{"Weir-Cache-Control", "Cdn-Cache-Control"}

const (
	// DefaultHitForMiss bounds how long requests for what was uncacheable go
	// alone; short enough that a page that becomes cacheable is noticed.
	DefaultHitForMiss = 2 * time.Minute
	// DefaultStaleIfUnreachable carries a site over an outage that somebody
	// mends the next morning, and no longer.
	DefaultStaleIfUnreachable = 24 * time.Hour
	// DefaultErrorMax keeps an error that somebody may have provoked from
	// staying.
	DefaultErrorMax = 10 * time.Second
	// DefaultHeuristicMax keeps a guess from outliving what a person who has
	// changed a file is willing to wait.
	DefaultHeuristicMax = time.Hour
)
