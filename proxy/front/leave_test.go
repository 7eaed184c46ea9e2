package front

import (
	"testing"

	"weir/proxy/listen"
)

// TestWhoHasLeft: what a socket tells, and what follows for who waits behind it.
func TestWhoHasLeft(t *testing.T) {
	sent := &upload{}
	sent.done.Store(true)
	ended, unread := listen.Peer{Ended: true}, listen.Peer{Ended: true, Unread: true}
	for name, c := range map[string]struct {
		v    vigil
		p    listen.Peer
		gone bool
	}{
		"quiet":                                 {vigil{}, listen.Peer{}, false},
		"quiet, in an upload":                   {vigil{up: &upload{}}, listen.Peer{}, false},
		"closed":                                {vigil{}, ended, true},
		"closed behind its next request":        {vigil{}, unread, false},
		"closed behind one that was read ahead": {vigil{pipelined: true}, ended, false},
		"closed in the middle of an upload":     {vigil{up: &upload{}}, unread, true},
		"closed behind an upload":               {vigil{up: sent}, ended, true},
		"next request behind an upload":         {vigil{up: sent}, unread, false},
		"end of the TLS session":                {vigil{secure: true}, unread, true},
		"reset":                                 {vigil{pipelined: true}, listen.Peer{Broken: true}, true},
	} {
		if got := c.v.gone(c.p); got != c.gone {
			t.Errorf("%s: gone is %t", name, got)
		}
	}
}
