package policy

// Match says which requests a rule is for. All of its parts must fit; of each
// list one entry must, and an empty list fits anything.
type Match struct {
	// Hosts are exact names, "*.example.com" (subdomains of any depth, not
	// example.com itself) or "*". A pattern without a port fits any port.
	Hosts []string
	// Paths are globs over the whole path in the form it has in the key. "*"
	// stands for any run of characters, "/" among them.
	Paths []string
	// Methods are compared exactly: HEAD is not implied by GET.
	Methods []string
	// Headers must all fit.
	Headers []HeaderMatch
}

// HeaderMatch is a condition on one header field of the request.
type HeaderMatch struct {
	// Name in any case.
	Name string
	// Value is a glob over the value of one field line; "" asks only that the
	// field is present.
	Value string
	// Not turns the condition round: no field line of that name may fit.
	Not bool
}
