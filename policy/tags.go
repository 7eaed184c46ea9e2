package policy

// Bounds of surrogate keys: what a CDN's header limit lets an origin send, and
// what an index of them can bear.
const (
	MaxTags      = 1024
	MaxTagLength = 1024
	MaxTagBytes  = 16 << 10
)

// tagFields are the canonical names of the fields whose values are surrogate keys.
func (r *Rule) tagFields() []string {
	if r.TagFields == nil {
		return DefaultTagFields
	}
	return r.TagFields
}

// Hidden are the canonical names of the fields that clients do not get; empty: they
// get all. The list is the rule's and must not be changed. It does not allocate.
func (r *Rule) Hidden() []string {
	if !r.StripTags {
		return nil
	}
	return r.tagFields()
}

// Tags returns the surrogate keys of a response, in order, each once. More or
// longer ones than the bounds are ReasonTagLimit: an object that a purge could
// not reach by all its tags must not be stored.
func Tags(rule *Rule, f Fields) (tags []string, reason Reason) {
	seen := map[string]struct{}{}
	total := 0
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
				if _, twice := seen[tag]; twice {
					continue
				}
				total += len(tag)
				if len(tag) > MaxTagLength || len(tags) == MaxTags || total > MaxTagBytes {
					return nil, ReasonTagLimit
				}
				seen[tag] = struct{}{}
				tags = append(tags, tag)
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
