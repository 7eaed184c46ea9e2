package bus

import (
	"strings"
	"testing"
	"time"

	"weir/invalidation"
)

// shim stands around the real parts and spoils something; the zero value spoils nothing.
type shim struct {
	// started is told of each node that was started.
	started func(*invalidation.Node)
	// ignoreGate has the cache used however the gate is.
	ignoreGate bool
	// subject changes what an object is held against.
	subject func(*invalidation.Node, *invalidation.Subject)
	// serve has nodes go on that should revalidate.
	serve bool
	// lose and change spoil messages on their way.
	lose   func(*message) bool
	change func(*message)
}

// spoil is what the network does to a message; nil when it is lost.
func (s *shim) spoil(raw []byte) []byte {
	if s.lose == nil && s.change == nil {
		return raw
	}
	codec := newCodec("sim", []byte("s"))
	m, err := codec.decode(raw)
	if err != nil || s.lose != nil && s.lose(m) {
		return nil
	}
	if s.change != nil {
		s.change(m)
	}
	return codec.encode(m)
}

// planted are faults that the model must find, each by what it says then.
var planted = []struct {
	name  string
	shim  shim
	fault string
}{
	{"a node begins with an open gate", shim{started: func(n *invalidation.Node) {
		n.Gate().OpenUntil(time.Now().Add(time.Hour))
	}}, "known to peers that it could reach"},
	{"the gate is not asked", shim{ignoreGate: true}, "known to peers that it could reach"},
	{"closures have no end", shim{started: func(n *invalidation.Node) {
		n.Gate().Span(0)
		n.Gate().Close()
	}}, "known to peers that it could reach"},
	{"isolation is not noticed", shim{serve: true}, "a quorum has had"},
	{"epochs are those of the lookup", shim{subject: func(n *invalidation.Node, s *invalidation.Subject) {
		s.Epoch = n.Epoch()
	}}, "is in effect there"},
	{"incarnations are not compared", shim{subject: func(n *invalidation.Node, s *invalidation.Subject) {
		s.Incarnation = n.Incarnation()
	}}, "serves"},
	{"purges that were fetched get lost", shim{lose: func(m *message) bool { return m.kind == kindChunk }}, "did not converge"},
	{"answers carry an empty vector", shim{change: func(m *message) {
		if m.kind == kindReply || m.kind == kindProbe {
			m.vector = nil
		}
	}}, "did not converge"},
}

// TestPlantedFaults holds the model to finding what it is there for.
func TestPlantedFaults(t *testing.T) {
	if raceEnabled {
		t.Skip("it tests the model, which the race detector only makes slow")
	}
	const most = 1500
	for _, p := range planted {
		t.Run(p.name, func(t *testing.T) {
			for seed := range most {
				h := histories.Example(seed)
				if fault, _ := h.run(t, p.shim); fault != "" && strings.Contains(fault, p.fault) {
					t.Logf("found after %d histories: %s", seed+1, fault)
					return
				}
			}
			t.Errorf("no history of %d led to %q", most, p.fault)
		})
	}
}
