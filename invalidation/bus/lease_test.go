package bus

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/invalidation"
)

// heldTransport keeps what is broadcast, and lets a test speak for the others.
type heldTransport struct {
	mu      sync.Mutex // protects probes
	probes  []*message
	codec   *codec
	receive func([]byte)
}

func (h *heldTransport) Start(receive func([]byte)) error { h.receive = receive; return nil }
func (h *heldTransport) Send(string, []byte) error        { return nil }
func (h *heldTransport) Close()                           {}

func (h *heldTransport) Broadcast(b []byte) error {
	if m, err := h.codec.decode(b); err == nil && m.kind == kindProbe {
		h.mu.Lock()
		h.probes = append(h.probes, m)
		h.mu.Unlock()
	}
	return nil
}

// TestLeaseBeginsWhenItWasAsked: an answer that waited in a buffer gives no longer lease than one that came at once.
func TestLeaseBeginsWhenItWasAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node, err := invalidation.Open(invalidation.Options{Node: "n1"})
		if err != nil {
			t.Fatal(err)
		}
		h := &heldTransport{codec: newCodec("c", nil)}
		const lease = 2 * time.Second
		began := time.Now()
		b, err := Open(Options{Node: node, Cluster: "c", Transport: h, Expected: 1, OnIsolation: Revalidate, Quorum: 2, Lease: lease})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		open := func(want bool) {
			t.Helper()
			if got := node.Gate().Open(time.Now()); got != want {
				t.Errorf("after %v the gate is open: %v, want %v", time.Since(began), got, want)
			}
		}
		open(false)
		h.mu.Lock()
		if len(h.probes) == 0 {
			t.Fatal("nobody was asked at the start")
		}
		first := h.probes[0]
		h.mu.Unlock()
		time.Sleep(1500 * time.Millisecond)
		synctest.Wait()
		open(false)
		h.receive(h.codec.encode(&message{kind: kindReply, from: "n2", instance: 7, nonce: first.nonce, vector: invalidation.Vector{}}))
		synctest.Wait()
		open(true)
		time.Sleep(lease - 1500*time.Millisecond - time.Millisecond)
		synctest.Wait()
		open(true)
		time.Sleep(2 * time.Millisecond)
		open(false)
		// An answer to a question that was never asked gives none at all.
		h.receive(h.codec.encode(&message{kind: kindReply, from: "n2", instance: 7, nonce: 12345, vector: invalidation.Vector{}}))
		synctest.Wait()
		open(false)
		b.Close()
		if err := node.Close(); err != nil {
			t.Error(err)
		}
	})
}
