package configs

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// Defaults of a policy.
const (
	DefaultHitForMiss = 2 * time.Minute
	// DefaultStaleIfUnreachable is policy's default, spelled out here so that
	// the effective configuration holds it.
	DefaultStaleIfUnreachable = day
	DefaultHeuristicFraction  = 0.1
	DefaultHeuristicMax       = time.Hour
	// DefaultErrorMax is policy's default, as above.
	DefaultErrorMax = 10 * time.Second

	// longestTTL is ten years: more is a slip, or means for ever, which the
	// protocol's seconds do not reach.
	longestTTL = 3650 * day
	// shortestTTL is the protocol's unit.
	shortestTTL = time.Second
)

// negativeStatuses are those that a single ttl.negative stands for: the errors
// that RFC 9110 section 15.1 lets a cache keep without being told.
var negativeStatuses = []int{404, 405, 410, 414, 501}

// policyLink is what of a policy can be checked only once all is read.
type policyLink struct {
	value       value // the policy
	origin      value
	purgeTokens []value
}

// decodePolicies reads the policies into cfg, and returns one link for each.
func decodePolicies(cfg *Config, v value) []policyLink {
	const valid = "a list of policies, each with a name and an origin"
	items := v.list(valid)
	if v.given() && !v.isNull() && len(items) == 0 && len(v.y.Content) == 0 && !isObject(v) {
		v.fault(valid, "this is an empty list")
	}
	if !v.given() {
		// Asks for the keys of a policy, so that the schema knows them.
		decodePolicy(value{d: v.d, shape: "policies[]"})
	}
	names := make(map[string]int)
	var links []policyLink
	for _, item := range items {
		p, name, link := decodePolicy(item)
		if first, twice := names[p.Name]; twice && p.Name != "" {
			name.fault("a name of its own", "%s is the name of the policy on line %d already", quote(p.Name), first)
		} else {
			names[p.Name] = name.at.line
		}
		cfg.Policies = append(cfg.Policies, p)
		links = append(links, link)
	}
	return links
}

func decodePolicy(v value) (Policy, value, policyLink) {
	o := v.object("a mapping with name and origin")
	name := o.need("name", validName)
	p := Policy{Name: name.str("", validName, checkName)}
	match := o.key("match")
	p.Match = decodeMatch(match.object("a mapping with host, path, method and header" + shorthand(match, "{path: %q}", checkPath)))
	origin := o.need("origin", "the name of one of the origins")
	p.Origin = origin.str("", "the name of one of the origins", checkGlob)
	p.Pass = o.key("pass").boolean(false)
	ttl, key := o.key("ttl"), o.key("key")
	p.TTL = decodeTTL(ttl.object("a mapping such as {default: 1h, stale_if_error: 24h}" + ttlHint(ttl)))
	p.Key = decodeKey(key.object("a mapping with query, headers and cookies"))
	p.Request = decodeRequest(o.key("request").object("a mapping with underscores"))
	p.ClientDirectives = ClientDirectives(o.key("client_directives").choice(int(ClientHonor), ClientHonor.String(), ClientIgnore.String()))
	p.Cookies = Cookies(o.key("cookies").choice(int(CookiesAuto), CookiesAuto.String(), CookiesStrip.String(), CookiesIgnore.String()))
	reserve, pin, admit := o.key("reserve"), o.key("pin"), o.key("admit")
	p.Reserve = decodeShare(reserve)
	p.Pin = pin.boolean(false)
	p.Admit = Admit(admit.choice(int(AdmitAlways), AdmitAlways.String(), AdmitSecondHit.String()))
	vary, reuse := o.key("vary"), o.key("reuse")
	p.Vary = decodeVary(vary.object("a mapping with normalize, encodings, languages and ignore"))
	p.Reuse = decodeReuse(reuse.object("a mapping of switches, such as {parts: false}"))
	p.Tags = decodeTags(o.key("tags").object("a mapping with headers and strip"))
	p.CacheStatusKey = o.key("cache_status_key").boolean(false)
	purge, purgeTokens := decodePurge(o.key("purge"))
	p.Purge = purge
	o.done()

	for _, name := range p.Key.Headers {
		if hasUnderscore(name) && !slices.Contains(p.Request.Underscores, name) {
			key.fault("the name in request.underscores, too", "key.headers: %s does not reach the origin", quote(name))
		}
	}
	for _, v := range []value{ttl, key, vary, reuse, reserve, pin, admit} {
		if p.Pass && v.given() {
			v.warn("does nothing: pass: true stores nothing")
		}
	}
	return p, name, policyLink{value: v, origin: origin, purgeTokens: purgeTokens}
}

// ttlHint is for a lifetime in place of the mapping.
func ttlHint(v value) string {
	s := v.text()
	if _, err := ParseDuration(s); err == nil {
		return "; for those that state none: {default: " + cut(s) + "}"
	}
	if _, err := strconv.ParseUint(s, 10, 32); err == nil {
		return "; for those that state none, in seconds: {default: " + s + "s}"
	}
	return ""
}

func decodeMatch(o *object) Match {
	hosts, paths := o.key("host").oneOrMany(validHost), o.key("path").oneOrMany(validPath)
	m := Match{
		Hosts:   words(hosts, validHost, checkHostPattern),
		Paths:   words(paths, validPath, checkPath),
		Methods: words(o.key("method").oneOrMany(validMethod), validMethod, checkMethod),
	}
	warnRegexps(paths, doubtfulSigns, checkPath, wrapPath)
	headers := o.key("header").object("a mapping of header names to values")
	seen := make(map[string]int)
	for _, h := range headers.free("<name>") {
		name, problem := checkHeader(h.name)
		if problem != "" || name == "" {
			h.key.fault(validHeader, "%s is not a header name", quote(h.name))
			continue
		}
		if first, twice := seen[name]; twice {
			h.key.fault("each header once, in any case", "%s is given twice, first on line %d", quote(h.name), first)
			continue
		}
		seen[name] = h.key.at.line
		m.Headers = append(m.Headers, headerMatch(name, h.value))
	}
	slices.SortFunc(m.Headers, func(a, b HeaderMatch) int { return cmp.Compare(a.Name, b.Name) })
	headers.done()
	o.done()
	return m
}

// headerMatch reads true (present), false (absent), or a glob; in quotes, true
// and false are globs as well.
func headerMatch(name string, v value) HeaderMatch {
	h := HeaderMatch{Name: name}
	glob, ok := v.scalar(`a value, in which "*" stands for any characters, or true for present, false for absent`)
	if !ok {
		return h
	}
	switch {
	case v.y.Tag == "!!bool" && glob == "true":
		h.Want = HeaderPresent
	case v.y.Tag == "!!bool" && glob == "false":
		h.Want = HeaderAbsent
	default:
		h.Glob = v.str("", "a value without control characters", checkGlob)
		warnRegexps([]value{v}, doubtfulSigns, checkGlob, wrapValue)
	}
	return h
}

func decodeTTL(o *object) TTL {
	span := func(name string, fallback, low time.Duration) (time.Duration, value) {
		v := o.key(name)
		return v.duration(fallback, low, longestTTL), v
	}
	var t TTL
	var vOverride, vMin value
	t.Default, _ = span("default", 0, shortestTTL)
	t.Override, vOverride = span("override", 0, shortestTTL)
	t.Min, vMin = span("min", 0, 0)
	t.Max, _ = span("max", 0, shortestTTL)
	t.Negative = decodeNegative(o.key("negative"))
	t.StaleWhileRevalidate, _ = span("stale_while_revalidate", 0, 0)
	t.StaleIfError, _ = span("stale_if_error", 0, 0)
	t.StaleDespite = decodeStaleDespite(o.key("stale_despite"))
	t.StaleIfUnreachable, _ = span("stale_if_unreachable", DefaultStaleIfUnreachable, 0)
	if v := o.key("unreachable_status"); v.given() && v.y.Kind == yaml.SequenceNode && len(v.y.Content) == 0 {
		t.UnreachableStatus = [][2]int{} // none
	} else {
		t.UnreachableStatus = decodeStatus(v, 400, [2]int{502, 504})
	}
	t.ErrorMax, _ = span("error_max", DefaultErrorMax, 0)
	t.HitForMiss, _ = span("hit_for_miss", DefaultHitForMiss, shortestTTL)
	targets := o.key("targets")
	t.Targets = []string{"Weir-Cache-Control", "Cdn-Cache-Control"}
	if targets.given() {
		t.Targets = words(targets.list("a list of header names"), validHeader, checkTarget)
	}
	t.Heuristic = decodeHeuristic(o.key("heuristic"))
	t.TrustDate = o.key("trust_date").boolean(true)
	o.done()

	if t.Max > 0 && t.Min > t.Max {
		vMin.fault("at most ttl.max, "+formatDuration(t.Max), "%s is longer than ttl.max", formatDuration(t.Min))
	}
	if t.Override > 0 && (t.Min > 0 || t.Max > 0) {
		vOverride.fault("override, or min and max", "ttl.override sets every lifetime, so that min and max can bound none")
	}
	return t
}

// decodeStaleDespite reads the directives that the policy's stale times override.
func decodeStaleDespite(v value) []string {
	known := []string{"s-maxage", "proxy-revalidate", "must-revalidate"}
	const valid = "a list of s-maxage, proxy-revalidate, must-revalidate"
	return words(v.oneOrMany(valid), valid, func(s string) (string, string) {
		if slices.Contains(known, s) {
			return s, ""
		}
		return "", "is not such a directive" + v.d.didYouMean(s, known)
	})
}

// decodeNegative reads one duration for the usual error statuses, or a mapping
// of statuses to durations.
func decodeNegative(v value) map[int]time.Duration {
	if !v.given() {
		return nil
	}
	negative := make(map[int]time.Duration)
	if !isObject(v) {
		ttl := v.duration(0, 0, longestTTL)
		for _, status := range negativeStatuses {
			negative[status] = ttl
		}
		return negative
	}
	o := v.object("a duration, or a mapping of statuses to durations")
	for _, m := range o.free("<status>") {
		status, err := strconv.Atoi(m.name)
		switch {
		case err != nil || len(m.name) != 3 || status < 300 || status > 599:
			m.key.fault("statuses from 300 to 599, such as 404", "%s is not a status that can have a lifetime of its own", quote(m.name))
		case status == 304:
			m.key.fault("another status", "304 is not stored: it refreshes what is")
		default:
			negative[status] = m.value.duration(0, 0, longestTTL)
		}
	}
	o.done()
	return negative
}

func decodeHeuristic(v value) Heuristic {
	h := Heuristic{Enabled: true, Fraction: DefaultHeuristicFraction, Max: DefaultHeuristicMax}
	const valid = "true, false or {fraction: 0.1, max: 1h}"
	target := v
	if !isObject(v) {
		h.Enabled = v.str("true", valid, func(s string) (string, string) {
			if s == "true" || s == "false" {
				return s, ""
			}
			return "", "is not a choice"
		}) == "true"
		target.y = nil
	}
	o := target.object(valid)
	if s, ok := o.key("fraction").scalar(validFraction); ok {
		fraction := o.key("fraction")
		f, err := strconv.ParseFloat(s, 64)
		if err != nil || !(f > 0 && f <= 1) {
			fraction.fault(validFraction, "%s is not such a number", quote(s))
		} else {
			h.Fraction = f
		}
	}
	h.Max = o.key("max").duration(h.Max, shortestTTL, longestTTL)
	o.done()
	return h
}

const validFraction = "a number above 0 and at most 1, such as 0.1; or heuristic: false"

func decodeKey(o *object) Key {
	var k Key
	v := o.key("query")
	q := v.object("a mapping with ignore or only, and sort")
	ignore, only := q.key("ignore"), q.key("only")
	switch {
	case ignore.given() && only.given():
		only.fault("one of the two", "ignore and only cannot stand together")
	case ignore.given():
		k.Query.Mode, k.Query.Names = QueryIgnore, parameters(ignore)
	case only.given():
		k.Query.Mode, k.Query.Names = QueryOnly, parameters(only)
	}
	k.Query.Sort = q.key("sort").boolean(false)
	forward := q.key("forward")
	if k.Query.Forward = forward.boolean(false); k.Query.Forward && k.Query.Mode == QueryAll {
		forward.fault("with ignore or only, or not at all", "every parameter counts, and reaches the origin anyway")
	}
	q.done()
	k.Headers = words(o.key("headers").list("a list of header names"), validHeader, checkHeader)
	k.Cookies = words(o.key("cookies").list("a list of cookie names"), validCookie, checkCookie)
	o.done()
	return k
}

// parameters reads globs over names of parameters.
func parameters(v value) []string {
	items := v.list(validParameter)
	names := words(items, validParameter, checkParameter)
	warnRegexps(items, parameterSigns, checkParameter, wrapName)
	return names
}

const validUnderscore = "the name of a header with an underscore, such as api_key"

func decodeRequest(o *object) Request {
	var r Request
	if names := o.key("underscores"); names.given() {
		r.Underscores = words(names.list("a list of header names"), validUnderscore, checkUnderscore)
	}
	o.done()
	return r
}

const validShare = "a size such as 2GiB, or a part of the disk such as 20%"

func decodeShare(v value) Share {
	s, ok := v.scalar(validShare)
	if !ok {
		return Share{}
	}
	number, percent := strings.CutSuffix(s, "%")
	if !percent {
		n, err := ParseSize(s)
		if err != nil || n < 1 {
			v.fault(validShare, "%s is neither", quote(s))
		}
		return Share{Bytes: max(n, 0)}
	}
	f, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || !(f > 0 && f <= 100) {
		v.fault(validShare, "%s is not a percentage above 0%%", quote(s))
		return Share{}
	}
	return Share{Percent: f}
}

func decodeVary(o *object) Vary {
	normalize, encodings, languages := o.key("normalize"), o.key("encodings"), o.key("languages")
	v := Vary{Normalize: normalize.boolean(true)}
	lower := func(s string) (string, string) {
		s, problem := checkToken(s)
		return strings.ToLower(s), problem
	}
	if encodings.given() {
		v.Encodings = words(encodings.list("a list of codings, such as [br, gzip]"), "a content coding, such as gzip", lower)
	}
	if languages.given() {
		v.Languages = words(languages.list("a list of languages, such as [en, de]"), "a language, such as en or pt-BR", lower)
	}
	v.Ignore = words(o.key("ignore").list("a list of header names"), validHeader, checkHeader)
	o.done()
	for _, only := range []value{encodings, languages} {
		if !v.Normalize && only.given() {
			only.fault("normalize: true, or all that clients send", "with normalize: false nothing is taken out of the lists that clients send")
		}
	}
	return v
}

func decodeReuse(o *object) Reuse {
	on := func(name string) bool { return o.key(name).boolean(name != "cookies") }
	r := Reuse{
		Authorization: on("authorization"), Cookies: on("cookies"), Date: on("date"), Head: on("head"),
		MustUnderstand: on("must_understand"), Parts: on("parts"), Post: on("post"),
	}
	o.done()
	return r
}

func decodeTags(o *object) Tags {
	headers := o.key("headers")
	t := Tags{
		Headers: slices.Clone(defaultTagHeaders), Strip: o.key("strip").boolean(false),
		Max: o.key("max").integer(DefaultTags, 1, maxTags), MaxBytes: o.key("max_bytes").size(DefaultTagBytes, 1, maxTagBytes),
	}
	if headers.given() {
		t.Headers = words(headers.list("a list of header names"), validHeader, checkHeader)
	}
	o.done()
	return t
}

func decodePurge(v value) (Purge, []value) {
	o := v.object("a mapping with networks, tokens and hosts")
	tokens := o.key("tokens").list("a list of names of admin.tokens")
	p := Purge{
		Networks: networks(o.key("networks")), Tokens: words(tokens, "names of admin.tokens", checkGlob),
		Hosts: words(o.key("hosts").list("a list of hosts"), validPurgeHost, checkPurgeHost),
	}
	o.done()
	return p, tokens
}

const validPurgeHost = "a name such as www.example.com, with a port only where it is not the scheme's own"

// checkPurgeHost lets exact hosts through, in the form that keys have.
func checkPurgeHost(s string) (string, string) {
	if strings.Contains(s, "*") {
		return "", `holds "*", and purges name hosts exactly`
	}
	host, problem := checkHostPattern(s)
	return strings.ToLower(host), problem
}

// describe names a policy in a message about another.
func describe(p Policy, v value) string {
	return fmt.Sprintf("%s (line %d)", quote(p.Name), v.at.line)
}
