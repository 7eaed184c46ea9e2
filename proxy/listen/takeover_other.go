//go:build !linux

package listen

import (
	"context"
	"log/slog"
	"net"
)

// Offer waits for a process that takes over.
type Offer struct{}

// NewOffer says that it cannot: outside Linux sockets are not handed over.
func NewOffer(string, []*net.TCPListener, *slog.Logger) (*Offer, error) { return nil, ErrUnsupported }

// Asked gives nobody.
func (*Offer) Asked() <-chan *Successor { return nil }

// Close does nothing.
func (*Offer) Close() {}

// TakeOver says that it cannot.
func TakeOver(context.Context, string) (*Predecessor, error) { return nil, ErrUnsupported }
