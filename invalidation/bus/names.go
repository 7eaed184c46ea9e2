package bus

import (
	"bytes"
	"encoding/json"
	"os"
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
	raw, err := os.ReadFile(b.o.Names)
	if err != nil {
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

// saveNames writes the file anew. Peers come and go rarely.
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
	if err := invalidation.WriteFile(b.o.Names, out.Bytes()); err != nil {
		b.sayOnce("names", time.Now(), func() { b.o.Log.Warn("the names of peers cannot be kept", "error", err) })
	}
}
