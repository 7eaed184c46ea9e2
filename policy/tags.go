package policy

import "slices"

// Bounds of surrogate keys. A rule that says nothing has the defaults; no rule
// goes beyond the others, which are what an object on disk can bear.
const (
	DefaultTags     = 4096
	DefaultTagBytes = 64 << 10
	MaxTags         = 16 << 10
	MaxTagBytes     = 1 << 20
	MaxTagLength    = 1024
)

// TagLimit bounds the surrogate keys of a response; 0 is the default.
type TagLimit struct{ Count, Bytes int }

func (l TagLimit) of() (count, bytes int) {
	count, bytes = DefaultTags, DefaultTagBytes
	if l.Count > 0 {
		count = min(l.Count, MaxTags)
	}
	if l.Bytes > 0 {
		bytes = min(l.Bytes, MaxTagBytes)
	}
	return count, bytes
}

// tagFields are the canonical names of the fields whose values are surrogate keys.
func (r *Rule) tagFields() []string {
	if r.TagFields == nil {
		return DefaultTagFields
	}
	return r.TagFields
}

// TagNames are the canonical names of the fields whose values are surrogate keys.
// The list is the rule's and must not be changed.
func (r *Rule) TagNames() []string { return r.tagFields() }

// Hidden are the canonical names of the fields that clients do not get; empty: they
// get all. The list is the rule's and must not be changed. It does not allocate.
func (r *Rule) Hidden() []string {
	if !r.StripTags {
		return nil
	}
	return r.tagFields()
}

// fewTags are so few that looking through them costs less than a map.
const fewTags = 16

// Tags returns the surrogate keys of a response, in order, each once. More or
// longer ones than the bounds are ReasonTagLimit: an object that a purge could
// not reach by all its tags must not be stored.
func Tags(rule *Rule, f Fields) (tags []string, reason Reason) {
	var seen map[string]struct{} // of many tags; few are looked through
	total := 0
	most, mostBytes := rule.TagLimit.of()
	for _, name := range rule.tagFields() {
		name = CanonicalName(name)
		// In Surrogate-Key a comma is part of the key.
		commas := name != "Surrogate-Key"
		for i := range f {
			if f[i].Name != name {
				continue
			}
			value := f[i].Value
			for {
				var tag string
				tag, value = nextTag(value, commas)
				if tag == "" {
					break
				}
				if _, twice := seen[tag]; twice || seen == nil && slices.Contains(tags, tag) {
					continue
				}
				total += len(tag)
				if len(tag) > MaxTagLength || len(tags) == most || total > mostBytes {
					return nil, ReasonTagLimit
				}
				tags = append(tags, tag)
				switch {
				case seen != nil:
					seen[tag] = struct{}{}
				case len(tags) == fewTags:
					seen = make(map[string]struct{}, 2*fewTags)
					for _, t := range tags {
						seen[t] = struct{}{}
					}
				}
			}
		}
	}
	return tags, ReasonNone
}

// nextTag cuts the first tag off a value; "" when none is left.
func nextTag(value string, commas bool) (tag, rest string) {
	separates := func(c byte) bool { return isSpace(c) || commas && c == ',' }
	start := 0
	for start < len(value) && separates(value[start]) {
		start++
	}
	end := start
	for end < len(value) && !separates(value[end]) {
		end++
	}
	return value[start:end], value[end:]
}
