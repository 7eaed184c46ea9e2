package policy

// KeySpec says what a rule's key holds besides scheme, host and path. The zero
// value keeps the query as it was sent.
type KeySpec struct {
	// QueryOnly are globs on the decoded names of the parameters that are
	// kept; empty keeps all.
	QueryOnly []string
	// QueryIgnore are globs on the decoded names of parameters left out.
	QueryIgnore []string
	// SortQuery sorts parameters by name; values of one name keep their order.
	SortQuery bool
	// NoQuery leaves the whole query out.
	NoQuery bool
	// Headers are the names of request fields that belong to the key.
	Headers []string
	// Cookies are the names, compared exactly, of cookies that belong to it.
	Cookies []string
}
