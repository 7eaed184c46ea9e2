package proxy

import "weir/policy"

// key is a canonical key text with its hash. It is a value: what is made from it,
// the key of a variant or of a part, is another one, and it stays as it was. Its
// text is in memory of the exchange or flight that made it, for as long as that
// lives.
type key struct {
	text []byte
	// primary is the length of the text without variant and part lines; 0 is no
	// key at all.
	primary int
	hash    policy.Hash
}

// isPrimary reports whether the key selects no variant.
func (k *key) isPrimary() bool { return len(k.text) == k.primary }

// keyRoom is where the texts of keys stand, one behind the other. What it has
// handed out does not move when it grows: the memory before stays with the keys
// in it.
type keyRoom []byte

// reset forgets the keys and keeps the memory.
func (r *keyRoom) reset() { *r = (*r)[:0] }

// primaryKey returns the key of the request without a variant.
func (r *keyRoom) primaryKey(rule *policy.Rule, q *policy.Request) key {
	start := len(*r)
	*r = rule.AppendKey(*r, q)
	return r.made(start, len(*r)-start)
}

// variantKey returns the key of the variant of k that the request selects under
// spec.
func (r *keyRoom) variantKey(k *key, spec *policy.VarySpec, rule *policy.Rule, q *policy.Request) key {
	start := len(*r)
	*r = append(*r, k.text[:k.primary]...)
	*r = spec.AppendVariant(*r, rule, q)
	return r.made(start, k.primary)
}

// languageKey is variantKey as if the request's Accept-Language were language.
func (r *keyRoom) languageKey(k *key, spec *policy.VarySpec, rule *policy.Rule, q *policy.Request, language string) key {
	start := len(*r)
	*r = append(*r, k.text[:k.primary]...)
	*r = spec.AppendVariantIn(*r, rule, q, []byte(language))
	return r.made(start, k.primary)
}

// partKey returns the key of a part of what k is the key of.
func (r *keyRoom) partKey(k *key) key {
	start := len(*r)
	*r = append(*r, k.text...)
	*r = append(*r, partSuffix...)
	return r.made(start, k.primary)
}

// withoutVariant returns the primary key of k.
func (k *key) withoutVariant() key {
	if k.isPrimary() {
		return *k
	}
	text := k.text[:k.primary:k.primary]
	return key{text: text, primary: k.primary, hash: policy.HashKey(text)}
}

func (r *keyRoom) made(start, primary int) key {
	text := (*r)[start:len(*r):len(*r)]
	return key{text: text, primary: primary, hash: policy.HashKey(text)}
}
