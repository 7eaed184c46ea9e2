// Package dialect reads the requests by which plugins of content management
// systems purge caches: PURGE, BAN, PURGEKEYS and URIBAN with the header fields
// that the common VCL files understand.
//
// It guarantees:
//   - what a request means is carried out in full, as URLs, tags, prefixes or
//     hosts, or it is refused with a text that says what to use instead; where a
//     meaning has no exact form, it is a larger one and never a smaller one;
//   - a field that would change the meaning and is not known is a refusal and not
//     a purge of the URL;
//   - a regular expression is taken for what it plainly says: a union of tags, the
//     beginning of URLs, a literal. Nothing is ever matched with it.
//
// It refuses to decide who may do what: Scope says how far the sender reaches, and
// Requests holds the meaning against it.
package dialect
