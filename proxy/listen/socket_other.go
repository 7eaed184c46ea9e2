//go:build !linux

package listen

import (
	"errors"
	"net"
	"time"
)

// prepare does nothing here but refuse what it cannot do: outside Linux no socket
// option bounds the progress of a client, so ProgressTimeout has no effect and the
// server's own write deadlines are all there is.
func prepare(_ uintptr, _ time.Duration, reuseport bool) error {
	if reuseport {
		return errors.New("sharing an address between listeners needs Linux")
	}
	return nil
}

// Look knows nothing: outside Linux a client that left is noticed when a write to it
// fails.
func Look(net.Conn) Peer { return Peer{} }
