package dialect

import (
	"slices"
	"strings"
)

// use is what a field of a purge says.
type use uint8

const (
	// useTags: tags, literally.
	useTags use = iota + 1
	// usePattern: tags, or a regular expression over them.
	usePattern
	// useSoftTags: tags that become stale.
	useSoftTags
	// useSoft: "1" makes all of it soft.
	useSoft
	// useAll: "1" is everything.
	useAll
	// useMethod: how the URL is meant.
	useMethod
	// useURL, useHost and useType are regular expressions.
	useURL
	useHost
	useType
	// useNarrow: it says which of several sites of a host is meant, and the host
	// as a whole is taken: more than was asked for.
	useNarrow
	// useSecret: a token, or a secret of another cache; Secret reads it.
	useSecret
)

// uses are the fields that are understood, in lower case.
var uses = map[string]use{
	"surrogate-key": useTags, "xkey": useTags, "xkey-purge": useTags, "x-xkey": useTags, "x-xkey-purge": useTags, "key": useTags,
	"cache-tag": usePattern, "cache-tags": usePattern, "purge-cache-tags": usePattern, "x-cache-tag": usePattern,
	"x-cache-tags": usePattern, "ban-cache-tags": usePattern, "x-ban-tags": usePattern, "x-purge-tags": usePattern, "x-cache-tags-pattern": usePattern,
	"x-drupal-cache-tags": usePattern, "x-magento-tags": usePattern, "x-magento-tags-pattern": usePattern,
	"x-tags": usePattern, "x-acquia-purge-tags": usePattern,
	"xkey-softpurge": useSoftTags, "x-xkey-softpurge": useSoftTags,
	"soft-purge": useSoft, "x-soft-purge": useSoft, "fastly-soft-purge": useSoft,
	"x-varnish-purge-all": useAll, "varnish-purge-all": useAll, "x-varnish-ban-all": useAll, "varnish-ban-all": useAll, "x-purge-all": useAll,
	"x-purge-method": useMethod,
	"x-url":          useURL, "x-ban-url": useURL, "ban-url": useURL, "x-purge-url": useURL, "x-purge-regex": useURL, "x-ban-regex": useURL,
	"x-host": useHost, "x-ban-host": useHost, "ban-host": useHost, "x-purge-host": useHost,
	"x-content-type": useType, "x-ban-content-type": useType, "ban-content-type": useType,
	"x-typo3-sitename": useNarrow, "varnish-ban-typo3-sitename": useNarrow, "x-site": useNarrow,
	"fastly-key": useSecret, "x-purge-token": useSecret, "x-purge-key": useSecret, "x-invalidate-token": useSecret,
}

// carried are fields of a purge that name tags by the field that responses carry
// them in; the policy must read that field.
var carried = map[string]string{
	"x-pool": "X-Pool", "varnish-ban-typo3-pid": "Typo3-Pid", "x-location-id": "X-Location-Id",
	"x-varnish-ban-neos-nodeidentifier": "X-Neos-Nodeidentifier",
}

// harmless are fields that look like those of a purge and say nothing about it.
var harmless = []string{"surrogate-capability", "x-forwarded-host", "x-original-host", "x-forwarded-url"}

// useOf says what a field means: 0 for nothing. Fields that the policy takes tags
// from are tags here too. doubt is set where it may mean something and nobody
// knows what.
func useOf(name string, tagFields []string) (u use, doubt bool) {
	lower := strings.ReplaceAll(strings.ToLower(name), "_", "-")
	if u = uses[lower]; u != 0 {
		return u, false
	}
	field := carried[lower]
	for _, f := range tagFields {
		if strings.EqualFold(f, lower) || field != "" && strings.EqualFold(f, field) {
			return usePattern, false
		}
	}
	return 0, field != "" || doubtful(lower)
}

func doubtful(lower string) bool {
	if slices.Contains(harmless, lower) {
		return false
	}
	for _, word := range []string{"purge", "invalidat", "cache-tag", "surrogate", "xkey", "tags", "regex", "pattern", "varnish-", "flush"} {
		if strings.Contains(lower, word) {
			return true
		}
	}
	parts := strings.Split(lower, "-")
	return slices.Contains(parts, "ban") || slices.Contains(parts, "bans")
}

// advice says what to do about a field that is not understood.
func advice(name string) string {
	if field := carried[strings.ToLower(name)]; field != "" {
		return "let the policy read " + field + " of responses as tags (policies[].tags.headers), or send the tags themselves"
	}
	return "send tags in Surrogate-Key, xkey or Cache-Tags, the URL as the target, or use POST /v1/purge of the admin plane"
}

// Secret returns the token that a purge carries in a field of another cache's,
// "" when there is none.
func Secret(name, value string) string {
	if uses[strings.ToLower(name)] == useSecret {
		return strings.TrimSpace(value)
	}
	return ""
}

// list cuts a list of tags: at spaces, and where the field is not Surrogate-Key
// at commas.
func list(name, value string) []string {
	commas := !strings.EqualFold(name, "Surrogate-Key")
	return strings.FieldsFunc(value, func(r rune) bool { return r == ' ' || r == '\t' || commas && r == ',' })
}

// isPattern reports whether a value is a regular expression, and not a list of
// tags that holds dots, colons and the like.
func isPattern(value string) bool { return strings.ContainsAny(value, `\^$*+?()[]{}|`) }
