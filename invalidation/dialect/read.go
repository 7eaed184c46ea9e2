package dialect

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"weir/invalidation"
	"weir/policy"
)

// Methods that purge. Others whose names say so are known as such and refused.
const (
	methodPurge     = "PURGE"
	methodBan       = "BAN"
	methodURIBan    = "URIBAN"
	methodPurgeKeys = "PURGEKEYS"
	methodPurgeKey  = "PURGEKEY"
)

// Purges reports whether a method is one of purging, and so never the origin's.
func Purges(method string) bool {
	m := strings.ToUpper(method)
	return strings.Contains(m, "PURGE") || strings.HasSuffix(m, "BAN") || strings.HasPrefix(m, "BAN") || strings.HasPrefix(m, "INVALIDATE")
}

// Request is a purge as it arrived.
type Request struct {
	Method string
	// Target is the path, and the query with its question mark.
	Target string
	// Fields are all that arrived, before any hop-by-hop rule was applied.
	Fields policy.Fields
	// Body: something follows the header.
	Body bool
	// TagFields are those that the policy takes tags from.
	TagFields []string
}

// Refusal says why a purge is not carried out, and what would be. It is an error.
type Refusal struct {
	Status int
	Text   string
}

// Error implements error.
func (r *Refusal) Error() string { return r.Text }

func bad(format string, args ...any) error {
	return &Refusal{http.StatusBadRequest, "nothing was purged: " + fmt.Sprintf(format, args...)}
}

// Meaning is what a purge asks for.
type Meaning struct {
	tags, softTags []string
	// everything that tags can reach.
	everything bool
	urls       []urlScope
	// hosts that the request names beside its own; anyHost: all.
	hosts   []string
	anyHost bool
	soft    bool
}

// reader collects what the fields say.
type reader struct {
	r       *Request
	m       Meaning
	method  string   // X-Purge-Method
	urls    []string // patterns
	tagged  bool     // there was a field for tags
	tagFrom string
}

// Read returns what r asks for. The error is a *Refusal.
func Read(r *Request) (*Meaning, error) {
	d := reader{r: r}
	if r.Body {
		return nil, bad("%s has no body that is understood; send fields, or use POST /v1/purge of the admin plane", r.Method)
	}
	for i := range r.Fields {
		if err := d.field(r.Fields[i].Name, r.Fields[i].Value); err != nil {
			return nil, err
		}
	}
	if d.tagged && !d.m.everything && len(d.m.tags)+len(d.m.softTags) == 0 {
		return nil, bad("%s names no tag", d.tagFrom)
	}
	if len(d.m.tags)+len(d.m.softTags) > 0 && len(r.TagFields) == 0 {
		return nil, bad("the policy of this URL reads no tags (policies[].tags.headers is empty)")
	}
	var err error
	switch strings.ToUpper(r.Method) {
	case methodPurge:
		err = d.purge()
	case methodBan, methodURIBan:
		err = d.ban()
	case methodPurgeKeys, methodPurgeKey:
		if !d.tagged {
			err = bad("%s needs tags in xkey-purge or xkey-softpurge", r.Method)
		}
	default:
		err = &Refusal{http.StatusNotImplemented, "nothing was purged: " + shorten(r.Method) + " is not understood; send PURGE for URLs, and PURGE, BAN or PURGEKEYS for tags"}
	}
	if err != nil {
		return nil, err
	}
	return &d.m, nil
}

func shorten(s string) string {
	if len(s) > 200 {
		return s[:200] + "..."
	}
	return s
}

// field takes one field in.
func (d *reader) field(name, value string) error {
	u, doubt := useOf(name, d.r.TagFields)
	if doubt {
		return bad("%s is not understood, and what it asks for might be more than the URL; %s", shorten(name), advice(name))
	}
	value = strings.TrimSpace(value)
	wrong := func(err error) error { return bad("%s: %q: %v", name, shorten(value), err) }
	switch u {
	case useTags:
		d.tag(name, list(name, value), &d.m.tags)
	case useSoftTags:
		d.tag(name, list(name, value), &d.m.softTags)
	case usePattern:
		if !isPattern(value) {
			d.tag(name, list(name, value), &d.m.tags)
			break
		}
		tags, all, err := tagsOfAny(value)
		if err != nil {
			return wrong(err)
		}
		d.m.everything = d.m.everything || all
		d.tag(name, tags, &d.m.tags)
	case useSoft:
		d.m.soft = d.m.soft || on(value)
	case useAll:
		d.m.everything = d.m.everything || on(value)
	case useMethod:
		if d.method != "" && !strings.EqualFold(d.method, value) {
			return bad("X-Purge-Method is given twice")
		}
		d.method = strings.ToLower(value)
	case useURL:
		d.urls = append(d.urls, value)
	case useHost:
		hosts, any, err := hostsOf(value)
		if err != nil {
			return wrong(err)
		}
		d.m.hosts, d.m.anyHost = append(d.m.hosts, hosts...), d.m.anyHost || any
	case useType:
		if value != "" && value != ".*" {
			return bad("%s: a purge by Content-Type is not possible; give the responses a tag in common", name)
		}
	case useNarrow, useSecret:
	}
	return nil
}

// tagsOfAny reads a pattern, or a list of which "*" is everything.
func tagsOfAny(value string) ([]string, bool, error) {
	if value == "*" {
		return nil, true, nil
	}
	return tagsOf(value)
}

// on reports whether a switch is set. An empty one is not.
func on(value string) bool {
	switch strings.ToLower(value) {
	case "", "0", "false", "no", "off":
		return false
	}
	return true
}

func (d *reader) tag(name string, tags []string, to *[]string) {
	d.tagged, d.tagFrom = true, name
	for _, t := range tags {
		if !slices.Contains(*to, t) {
			*to = append(*to, t)
		}
	}
}

// purge adds the URL, where the fields leave it its meaning.
func (d *reader) purge() error {
	switch d.method {
	case "", "default", "exact", "purge", "url":
		if err := d.patterns(); err != nil {
			return err
		}
		// With tags "/" is where such requests are sent, and not what they mean.
		if len(d.urls) > 0 || d.m.everything || d.tagged && d.r.Target == "/" {
			return nil
		}
		return d.target(d.method == "exact")
	case "regex", "ban", "regexp":
		return d.pattern(d.targetPattern())
	case "ban-regex":
		if len(d.urls) == 0 {
			return bad("X-Purge-Method: ban-regex needs X-Ban-Regex")
		}
		return d.patterns()
	case "tags", "tag":
		if !d.tagged {
			return bad("X-Purge-Method: tags needs X-Cache-Tags-Pattern, or another field with tags")
		}
		return nil
	}
	return bad("X-Purge-Method: %q is not understood (known: default, exact, regex, ban-regex, tags)", shorten(d.method))
}

// ban is what BAN asks for: tags, patterns of URLs, or its target as one.
func (d *reader) ban() error {
	switch {
	case len(d.urls) > 0:
		return d.patterns()
	case d.tagged, d.m.everything:
		return nil
	}
	return d.pattern(d.targetPattern())
}

// targetPattern is the target as a regular expression: its question mark begins
// the query.
func (d *reader) targetPattern() string {
	return strings.Replace(d.r.Target, "?", `\?`, 1)
}

// patterns adds what fields say of URLs.
func (d *reader) patterns() error {
	for _, p := range d.urls {
		if err := d.pattern(p); err != nil {
			return err
		}
	}
	return nil
}

func (d *reader) pattern(p string) error {
	if p == "" {
		p = ".*"
	}
	scopes, err := urlsOf(p)
	if err != nil {
		return bad("%q: %v", shorten(p), err)
	}
	if d.tagged || d.m.everything {
		// Only what carries the tag and fits the pattern was meant. All that
		// carries it is more.
		if len(scopes) == 1 && scopes[0] == (urlScope{}) {
			return nil
		}
		return bad("tags and a pattern of URLs cannot both limit a purge; send one of them")
	}
	d.m.urls = append(d.m.urls, scopes...)
	return nil
}

// target adds the URL asked for. An asterisk at its end, or ".*", is what many
// plugins write for all that begins so.
func (d *reader) target(exact bool) error {
	t := d.r.Target
	open := t
	for _, end := range []string{"(.*)", ".*", "*"} {
		if cut, ok := strings.CutSuffix(t, end); ok && !exact {
			open = cut
			break
		}
	}
	if strings.Contains(open, "*") {
		return bad("%q: an asterisk is understood at the end only, for all that begins so", shorten(t))
	}
	if open == t {
		d.m.urls = append(d.m.urls, urlScope{path: t, exact: true})
		return nil
	}
	if open == "/" {
		open = ""
	}
	d.m.urls = append(d.m.urls, urlScope{path: open})
	return nil
}

// Scope is how far whoever sent a purge reaches.
type Scope struct {
	// Host is the request's, as keys have it.
	Host string
	// Hosts are those that the policy lets such purges reach; empty: Host alone.
	Hosts []string
	// Anywhere: a token permits every host.
	Anywhere bool
}

// Requests are the purges that m comes to within s. The error is a *Refusal.
func (m *Meaning) Requests(s Scope) ([]invalidation.Request, error) {
	own, all, err := m.reach(s)
	if err != nil {
		return nil, err
	}
	hard, soft := invalidation.Request{Soft: m.soft}, invalidation.Request{Soft: true}
	everywhere := s.Anywhere && len(m.hosts) == 0
	if everywhere {
		hard.All = m.everything
	} else {
		hard.Within, soft.Within = all, all
		if m.everything {
			hard.Hosts = append(hard.Hosts, all...)
		}
	}
	hard.Tags, soft.Tags = m.tags, m.softTags
	for _, u := range m.urls {
		if err := addURL(&hard, u, own, everywhere && m.anyHost); err != nil {
			return nil, err
		}
	}
	var out []invalidation.Request
	for _, r := range []invalidation.Request{hard, soft} {
		if r.All || len(r.URLs)+len(r.Tags)+len(r.Prefixes)+len(r.Hosts) > 0 {
			out = append(out, r)
		}
	}
	return out, nil
}

// reach are the hosts of the URLs that m names, and all that its tags are looked
// for on. A URL is the request's host's own where that may be purged.
func (m *Meaning) reach(s Scope) (own, all []string, err error) {
	all = s.Hosts
	if len(all) == 0 {
		all = []string{s.Host}
	}
	switch {
	case len(m.hosts) == 0 && !m.anyHost && (s.Anywhere || slices.Contains(all, s.Host)):
		return []string{s.Host}, all, nil
	case len(m.hosts) == 0:
		return all, all, nil
	}
	for _, h := range m.hosts {
		if !s.Anywhere && !slices.Contains(all, h) {
			return nil, nil, &Refusal{http.StatusForbidden, fmt.Sprintf("nothing was purged: the host %q is beyond what this sender may purge (%s); "+
				"name it in policies[].purge.hosts, or use a token", shorten(h), shorten(strings.Join(all, ", ")))}
		}
	}
	return m.hosts, m.hosts, nil
}

func addURL(r *invalidation.Request, u urlScope, hosts []string, everywhere bool) error {
	switch {
	case everywhere && u.path == "":
		r.All = true
	case everywhere && u.exact:
		return bad("one URL on every host is not possible; name the hosts in X-Host, or end the pattern with .*")
	case everywhere:
		r.Prefixes = append(r.Prefixes, u.path)
	}
	if everywhere {
		return nil
	}
	for _, h := range hosts {
		switch {
		case u.path == "":
			r.Hosts = append(r.Hosts, h)
		case u.exact:
			r.URLs = append(r.URLs, "//"+h+u.path)
		default:
			r.Prefixes = append(r.Prefixes, "//"+h+u.path)
		}
	}
	return nil
}
