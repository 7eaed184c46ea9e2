package load

import "fmt"

// FaultKind is what was wrong with an answer.
type FaultKind uint8

const (
	// FaultStale is the right body in a version that a purge, acknowledged before the request was sent, had ended.
	FaultStale FaultKind = iota
	// FaultContent is a body with bytes that are not the object's: damaged, or another object's.
	FaultContent
	// FaultSize is an answer whose framing is right and whose body has not the length of the object.
	FaultSize
	// FaultHeader is a header that contradicts the request or the object.
	FaultHeader
	// FaultStatus is another status than the request had to get.
	FaultStatus
	// FaultConnect is a target that took no connection.
	FaultConnect
	// FaultTimeout is an answer that made no progress for the whole timeout, or was not whole so long after the end of the run.
	FaultTimeout
	// FaultCut is a connection that ended before the answer did.
	FaultCut
	// FaultMalformed is an answer that is no HTTP/1.1.
	FaultMalformed
	// FaultSurplus are bytes after the end of an answer.
	FaultSurplus

	// FaultKinds is their number.
	FaultKinds
)

func (k FaultKind) String() string {
	switch k {
	case FaultStale:
		return "stale"
	case FaultContent:
		return "content"
	case FaultSize:
		return "size"
	case FaultHeader:
		return "header"
	case FaultStatus:
		return "status"
	case FaultConnect:
		return "connect"
	case FaultTimeout:
		return "timeout"
	case FaultCut:
		return "cut"
	case FaultMalformed:
		return "malformed"
	case FaultSurplus:
		return "surplus"
	}
	return "unknown"
}

// Class is stale, wrong or broken: what came whole and is out of date, what came whole and is not the object, and what did
// not come whole.
func (k FaultKind) Class() string {
	switch {
	case k == FaultStale:
		return "stale"
	case k < FaultConnect:
		return "wrong"
	}
	return "broken"
}

// fault is one answer that is not right.
type fault struct {
	kind FaultKind
	text string
}

func (f *fault) Error() string { return f.kind.String() + ": " + f.text }

func faultf(kind FaultKind, format string, args ...any) *fault {
	return &fault{kind, fmt.Sprintf(format, args...)}
}
