package fetch

import (
	"errors"
	"net/http"

	"weir/origin"
	"weir/policy"
)

// ErrClientGone is why an exchange with an origin was ended whose answer could have
// served one client only, which left.
var ErrClientGone = errors.New("the client left")

// statusClientGone is what the log shows for a client that left before there was an
// answer; nobody gets it.
const statusClientGone = 499

// OriginReason turns an origin's error into the reason and the status code that
// the client gets.
func OriginReason(err error) (policy.Reason, int) {
	if errors.Is(err, ErrClientGone) {
		return policy.ReasonClientGone, statusClientGone
	}
	if errors.Is(err, origin.ErrFailing) {
		return policy.ReasonOriginFailing, http.StatusGatewayTimeout
	}
	var e *origin.Error
	if !errors.As(err, &e) {
		return policy.ReasonOriginOther, 502
	}
	return ReasonOfKind(e.Kind), e.Status()
}

// ReasonOfKind returns the reason that stands for a kind of failure of an origin.
func ReasonOfKind(k origin.Kind) policy.Reason {
	switch k {
	case origin.Invalid:
		return policy.ReasonBadRequest
	case origin.RequestBody:
		return policy.ReasonUploadCut
	case origin.Refused:
		return policy.ReasonOriginRefused
	case origin.Connect:
		return policy.ReasonOriginConnect
	case origin.TLS:
		return policy.ReasonOriginTLS
	case origin.ConnectTimeout, origin.FirstByteTimeout:
		return policy.ReasonOriginTimeout
	case origin.Stalled:
		return policy.ReasonOriginStalled
	case origin.Reset:
		return policy.ReasonOriginReset
	case origin.Truncated:
		return policy.ReasonOriginTruncated
	case origin.HeaderTooLarge:
		return policy.ReasonOriginHeader
	case origin.Malformed:
		return policy.ReasonOriginMalformed
	case origin.Busy:
		return policy.ReasonOriginBusy
	case origin.Canceled:
		return policy.ReasonShuttingDown
	}
	return policy.ReasonOriginOther
}
