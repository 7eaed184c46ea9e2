package bus

// Transport carries messages between nodes. Two messages from one node to another
// arrive in the order in which they were sent, or not at all.
type Transport interface {
	// Start hands messages from other nodes to receive, one after the other.
	// The bytes are the receiver's.
	Start(receive func(b []byte)) error
	// Broadcast sends to all other nodes, Send to the one named. They do not
	// wait for anybody, and keep nothing of b. An error is that of this node's
	// own connection; a message that is lost further on is no error.
	Broadcast(b []byte) error
	Send(node string, b []byte) error
	// Close ends the transport; receive is not called after it.
	Close()
}
