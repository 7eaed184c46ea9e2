//go:build !linux

package listen

import (
	"net"
	"time"
)

// keepAlive is package net's default.
var keepAlive = net.KeepAliveConfig{Enable: true}

// prepare does nothing here: outside Linux no socket
// option bounds the progress of a client, so ProgressTimeout has no effect and the
// server's own write deadlines are all there is.
func prepare(uintptr, time.Duration) error { return nil }

// Look knows nothing: outside Linux a client that left is noticed when a write to it
// fails.
func Look(net.Conn) Peer { return Peer{} }
