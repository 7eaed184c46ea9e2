package proxy

import (
	"net/http"
	"strconv"

	"weir/policy"
)

// hopsLeft is what Max-Forwards allows the request (RFC 9110 section 7.6.2). It
// counts for OPTIONS and TRACE; elsewhere, and where it is no single number, ok
// is false and the field goes on as it is.
func (x *exchange) hopsLeft() (n uint64, ok bool) {
	if x.req.Method != "OPTIONS" && x.req.Method != "TRACE" {
		return 0, false
	}
	n, err := strconv.ParseUint(x.req.Fields.Get("Max-Forwards"), 10, 64)
	return n, err == nil
}

// lastHop answers a request that may go no further, as its final recipient.
// TRACE is not served: it would show the fields that weir alone should see.
func (x *exchange) lastHop() state {
	const text = "Max-Forwards is 0, and the request ends here"
	if x.req.Method == "TRACE" {
		return x.notAllowed(text)
	}
	return x.refusal(http.StatusOK, policy.ReasonMethod, text)
}
