package policy

// Difference is a field, or a kind of fields, in which two requests with one key
// may reach the origin unalike.
type Difference struct {
	// Name is canonical; "" for a kind of fields, which Kind describes.
	Name string
	Kind string
	// Why is a sentence for the handbook.
	Why string
}

// Differences is the closed list of what two requests with one key, either of
// whose answers may be stored, may differ in when they reach the origin. What
// applications take for the identity of a request (method, target, host, scheme,
// prefix) is not among them.
var Differences = []Difference{
	{Name: "X-Forwarded-For", Why: "It names the client. A response that depends on it says so in Vary and is not stored (`vary-forwarded`), or is private."},
	{Name: "Forwarded", Why: "The same, in its `for` only: host and proto are those of the key."},
	{Name: "Via", Why: "It tells the way of the request; Vary on it is not stored (`vary-forwarded`)."},
	{Kind: "fields of standing client", Why: "They name the client, and come from trusted senders only. The same holds for them."},
	{Name: "Cookie", Why: "With `cookies: auto` a response that states no lifetime of its own is not shared where one came; with `ignore` the operator vouches for it; with `strip` none comes that is not in the key."},
	{Name: "Authorization", Why: "A response to it is stored only where it says that it may be (RFC 9111 section 3.5)."},
	{Name: "Range", Why: "Sent when a part is fetched; the part is stored as one."},
	{Name: "If-Range", Why: "As Range."},
	{Name: "If-None-Match", Why: "Weir's own, when it validates what is stored; the client's, when nothing is stored and the request goes alone."},
	{Name: "If-Modified-Since", Why: "The same."},
	{Name: "If-Match", Why: "The client's, when nothing is stored and the request goes alone: a 412 is not stored."},
	{Name: "If-Unmodified-Since", Why: "The same."},
	{Kind: "fields that `request.underscores` names", Why: "The operator lets them through; they count as the next row's."},
	{Kind: "every other field of standing ordinary", Why: "HTTP lets a response depend on any request field and obliges the origin to name it in Vary (RFC 9110 section 12.5.5); the variant is then made of the very lines that the origin got."},
}

// MayDiffer reports whether two requests with one key may reach the origin with
// different lines of the field of that canonical name.
func MayDiffer(name string) bool {
	for i := range Differences {
		if Differences[i].Name == name {
			return true
		}
	}
	switch StandingOf(name) {
	case StandingOrdinary:
		return name != "Host"
	case StandingClient:
		return true
	}
	return false
}
