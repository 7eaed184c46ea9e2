package loadorigin

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"weir/loadtest/workload"
)

// answer is what one request gets.
type answer struct {
	status     int
	size       int64
	sizes      *workload.Sizes // until size is known
	delay      time.Duration
	delayed    bool // delay is decided
	stall      *Stall
	errors     *failure
	cache      string
	cached     bool // cache is decided
	maxAge     string
	directives string // further ones that the URL asks for, each with ", " before it
	noStore    bool
	tags       []string
	tagField   string
	headers    []string
	vary       string
	chunked    bool
	validators bool
}

const (
	defaultSize   = 10 << 10
	defaultMaxAge = "3600"
)

// decide puts together what the URL and the rules say about a target; the URL is asked first. What a log says wins, and that
// depends on the method.
func (o *Origin) decide(method, target string) answer {
	a := answer{status: 200, size: -1, validators: true, tagField: "Surrogate-Key"}
	path, query, _ := strings.Cut(target, "?")
	path, params, _ := strings.Cut(path, ";")
	a.params(params, ';')
	a.params(query, '&')
	if len(o.plans) > 0 {
		o.consult(&a, path)
	}
	if o.catalogue != nil {
		o.lookup(&a, method, target)
	}
	switch {
	case a.size >= 0:
	case a.sizes != nil:
		a.size = a.sizes.Of(fingerprint(target))
	default:
		a.size = defaultSize
	}
	if a.maxAge == "" {
		a.maxAge = defaultMaxAge
	}
	return a
}

// consult asks the rules, in order, for what is not decided yet.
func (o *Origin) consult(a *answer, path string) {
	var tagField string
	var chunked, validators *bool
	for i := range o.plans {
		p := &o.plans[i]
		stars, ok := match(p.pattern, path, nil)
		if !ok {
			continue
		}
		if a.sizes == nil {
			a.sizes = p.sizes
		}
		if !a.delayed && p.delay != nil {
			a.delay, a.delayed = p.delay.of(rand.NormFloat64()), true
		}
		if a.stall == nil {
			a.stall = p.stall
		}
		if a.errors == nil {
			a.errors = p.errors
		}
		if !a.cached && p.cache != nil && a.maxAge == "" && !a.noStore {
			a.cache, a.cached = *p.cache, true
		}
		for _, tag := range p.tags {
			a.tags = append(a.tags, expand(tag, stars))
		}
		if p.headers != "" {
			a.headers = append(a.headers, p.headers)
		}
		if tagField == "" {
			tagField = p.tagField
		}
		if chunked == nil {
			chunked = p.chunked
		}
		if validators == nil {
			validators = p.validators
		}
	}
	if tagField != "" {
		a.tagField = tagField
	}
	if chunked != nil {
		a.chunked = *chunked
	}
	if validators != nil {
		a.validators = *validators
	}
}

// expand puts what the stars of a pattern stood for in the place of {1}, {2} and so on.
func expand(tag string, stars []string) string {
	for i, s := range stars {
		tag = strings.ReplaceAll(tag, "{"+strconv.Itoa(i+1)+"}", s)
	}
	return tag
}

// params reads what the URL asks for. What it does not know, it leaves alone: URLs have parameters of their own.
func (a *answer) params(s string, sep byte) {
	for s != "" {
		var one string
		if i := strings.IndexByte(s, sep); i >= 0 {
			one, s = s[:i], s[i+1:]
		} else {
			one, s = s, ""
		}
		name, value, _ := strings.Cut(one, "=")
		a.param(name, value)
	}
}

func (a *answer) param(name, value string) {
	switch name {
	case "size":
		if n, err := strconv.ParseInt(value, 10, 64); err == nil && n >= 0 && n <= 1<<40 {
			a.size = n
		}
	case "status":
		if n, err := strconv.Atoi(value); err == nil && n >= 200 && n <= 599 {
			a.status = n
		}
	case "max-age":
		if _, err := strconv.ParseUint(value, 10, 31); err == nil {
			a.maxAge = value
		}
	case "stale-while-revalidate", "stale-if-error":
		if _, err := strconv.ParseUint(value, 10, 31); err == nil {
			a.directives += ", " + name + "=" + value
		}
	case "private", "no-cache", "must-revalidate", "immutable":
		a.directives += ", " + name
	case "no-store":
		a.noStore = true
	case "tag":
		if value != "" && goodValue(value) && !strings.ContainsAny(value, " ,") {
			a.tags = append(a.tags, value)
		}
	case "vary":
		if goodName(value) {
			a.vary = value
		}
	case "delay":
		if d, err := time.ParseDuration(value); err == nil && d >= 0 && d <= time.Hour {
			a.delay, a.delayed = d, true
		}
	case "chunked":
		a.chunked = true
	}
}

// lookup takes status and size from the log that the origin was given, if that has the method and the target.
func (o *Origin) lookup(a *answer, method, target string) {
	if res, ok := o.catalogue.Lookup(method, target); ok {
		a.size, a.status = res.Size, res.Status
		if res.Status != 200 && res.Status != 301 && res.Status != 404 {
			a.noStore = true
		}
	}
}

// cacheControl appends the value of the field.
func (a *answer) cacheControl(b []byte) []byte {
	switch {
	case a.cached:
		return append(b, a.cache...)
	case a.noStore:
		return append(b, "no-store"...)
	}
	b = append(append(b, "max-age="...), a.maxAge...)
	return append(b, a.directives...)
}

// fingerprint spreads a target over 64 bits, for the size that a distribution gives it.
func fingerprint(s string) uint64 {
	h := uint64(0xcbf29ce484222325)
	for i := 0; i < len(s); i++ {
		h = (h ^ uint64(s[i])) * 0x100000001b3
	}
	h ^= h >> 32
	h *= 0x9e3779b97f4a7c15
	return h ^ h>>29
}
