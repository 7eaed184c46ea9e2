package bus

import "time"

// EventKind is what happened.
type EventKind uint8

const (
	// PeerFound: a peer answers that was unknown, or was lost.
	PeerFound EventKind = iota
	// PeerLost: a peer has not answered for a lease.
	PeerLost
	// PeerLeft: a peer has said that it stops.
	PeerLeft
	// Behind: purges are missing here.
	Behind
	// CaughtUp: all that peers know is in effect here.
	CaughtUp
	// GateClosed and GateOpened: whether the cache is used unconfirmed.
	GateClosed
	GateOpened
	// TookOver: everything was invalidated and a peer's vector taken.
	TookOver
	// Renewed: this node began a new incarnation.
	Renewed
)

var eventNames = [...]string{
	"peer-found", "peer-lost", "peer-left", "behind", "caught-up", "gate-closed", "gate-opened", "took-over", "renewed",
}

// String is the kind's name in the stream of events.
func (k EventKind) String() string { return eventNames[k] }

// Event is one thing that happened between the nodes.
type Event struct {
	Kind EventKind
	At   time.Time
	Peer string // "" where no single peer is meant
	// Text says more, for people.
	Text string
}
