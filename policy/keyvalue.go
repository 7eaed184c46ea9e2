package policy

// Key is a canonical key text with its hash. It is a value: what is made from it,
// the key of a variant or of a part, is another one, and it stays as it was. The
// zero value is no key.
type Key struct {
	// Text is in memory of whoever made the key, and must not be changed.
	Text []byte
	// Primary is the length of the text without variant and part lines; 0 is no
	// key at all.
	Primary int
	Hash    Hash
}

// partSuffix ends the key text of a part. No line of a canonical key begins with
// this letter.
const partSuffix = "\n part"

// KeyOf returns the key with this text, which has no variant and no part lines.
func KeyOf(text []byte) Key { return Key{Text: text, Primary: len(text), Hash: HashKey(text)} }

// PartOf returns the key of a part of what has this key text.
func PartOf(text string) Key {
	var r KeyRoom
	return r.Part(&Key{Text: []byte(text), Primary: len(text)})
}

// IsPrimary reports whether the key selects no variant.
func (k *Key) IsPrimary() bool { return len(k.Text) == k.Primary }

// WithoutVariant returns the primary key of k.
func (k *Key) WithoutVariant() Key {
	if k.IsPrimary() {
		return *k
	}
	return KeyOf(k.Text[:k.Primary:k.Primary])
}

// KeyRoom is where the texts of keys stand, one behind the other. What it has
// handed out does not move when it grows: the memory before stays with the keys
// in it.
type KeyRoom []byte

// Reset forgets the keys and keeps the memory: keys that the room has made must
// not be used any more.
func (r *KeyRoom) Reset() { *r = (*r)[:0] }

// Of returns the key of the request without a variant.
func (r *KeyRoom) Of(rule *Rule, q *Request) Key {
	start := len(*r)
	*r = rule.AppendKey(*r, q)
	return r.made(start, len(*r)-start)
}

// Variant returns the key of the variant of k that the request selects under spec.
func (r *KeyRoom) Variant(k *Key, spec *VarySpec, rule *Rule, q *Request) Key {
	start := len(*r)
	*r = append(*r, k.Text[:k.Primary]...)
	*r = spec.AppendVariant(*r, rule, q)
	return r.made(start, k.Primary)
}

// Language is Variant as if the request's Accept-Language were language.
func (r *KeyRoom) Language(k *Key, spec *VarySpec, rule *Rule, q *Request, language string) Key {
	start := len(*r)
	*r = append(*r, k.Text[:k.Primary]...)
	*r = spec.AppendVariantIn(*r, rule, q, []byte(language))
	return r.made(start, k.Primary)
}

// Part returns the key of a part of what k is the key of.
func (r *KeyRoom) Part(k *Key) Key {
	start := len(*r)
	*r = append(*r, k.Text...)
	*r = append(*r, partSuffix...)
	return r.made(start, k.Primary)
}

func (r *KeyRoom) made(start, primary int) Key {
	text := (*r)[start:len(*r):len(*r)]
	return Key{Text: text, Primary: primary, Hash: HashKey(text)}
}
