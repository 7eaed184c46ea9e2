package bus

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"time"

	"weir/invalidation"
)

// The names of peers are kept in a file, so that a node that starts while a peer
// is away can say whose word on a purge it lacks.

func (b *Bus) loadNames(now time.Time) {
	if b.o.Names == "" {
		return
	}
	raw := readBounded(b.o.Names)
	if raw == nil {
		return // there are none yet; what cannot be read is heard again
	}
	var names []string
	if json.Unmarshal(raw, &names) != nil {
		b.o.Log.Warn("the names of peers cannot be read; they are learnt again", "file", b.o.Names)
		return
	}
	for _, name := range names {
		if name == "" || len(name) > maxName || name == b.o.Node.Name() || len(b.peers) >= maxPeers {
			continue
		}
		b.peers[name] = &peer{name: name, vector: make(invalidation.Vector), since: now}
	}
}

// namesPatience is how long a start waits for the file.
const namesPatience = 100 * time.Millisecond

// readBounded reads a file, or returns nil when that fails or takes too long.
func readBounded(path string) []byte {
	done := make(chan []byte, 1)
	go func() {
		b, _ := os.ReadFile(path) // nil
		done <- b
	}()
	t := time.NewTimer(namesPatience)
	defer t.Stop()
	select {
	case b := <-done:
		return b
	case <-t.C:
		return nil
	}
}

// saveNames has the file written anew, behind whoever calls: peers come and go
// rarely, and the device may take its time. The caller holds mu.
func (b *Bus) saveNames() {
	if b.o.Names == "" {
		return
	}
	names := make([]string, 0, len(b.peers))
	for name := range b.peers {
		names = append(names, name)
	}
	slices.Sort(names)
	var out bytes.Buffer
	if err := json.NewEncoder(&out).Encode(names); err != nil {
		return // strings always encode
	}
	b.names.next = out.Bytes()
	if b.names.written == nil {
		b.names.written = make(chan struct{})
		go b.writeNames(b.names.written)
	}
}

// names is what the file is to hold next; nil when it holds it.
type names struct {
	next []byte
	// written is closed when the writing that is under way has ended; nil: none is.
	written chan struct{}
}

// writeNames writes until there is nothing to write.
func (b *Bus) writeNames(written chan struct{}) {
	defer close(written)
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.names.next != nil {
		next := b.names.next
		b.names.next = nil
		b.mu.Unlock()
		err := os.MkdirAll(filepath.Dir(b.o.Names), 0o700)
		if err == nil {
			err = invalidation.WriteFile(b.o.Names, next)
		}
		b.mu.Lock()
		if err != nil {
			b.sayOnce("names", time.Now(), func() { b.o.Log.Warn("the names of peers cannot be kept", "error", err) })
		}
	}
	b.names.written = nil
}

// finishNames waits for what is being written, but not for a device that hangs.
func (b *Bus) finishNames() {
	b.mu.Lock()
	written := b.names.written
	b.mu.Unlock()
	if written == nil {
		return
	}
	t := time.NewTimer(time.Second)
	defer t.Stop()
	select {
	case <-written:
	case <-t.C:
	}
}
