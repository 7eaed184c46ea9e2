package origin

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// handshakes is a TLS server that counts handshakes by name, and the connections that are open.
type handshakes struct {
	*httptest.Server
	mu     sync.Mutex
	byName map[string]int
	open   atomic.Int64
	hold   chan struct{} // exchanges for hosts that begin with "slow" wait for it
}

func newHandshakes(t *testing.T) *handshakes {
	h := &handshakes{byName: map[string]int{}, hold: make(chan struct{})}
	h.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.Host) > 4 && r.Host[:4] == "slow" {
			<-h.hold
		}
		fmt.Fprint(w, "ok")
	}))
	h.TLS = &tls.Config{GetConfigForClient: func(c *tls.ClientHelloInfo) (*tls.Config, error) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.byName[c.ServerName]++
		return nil, nil
	}}
	h.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		switch s {
		case http.StateNew:
			h.open.Add(1)
		case http.StateClosed:
			h.open.Add(-1)
		}
	}
	h.StartTLS()
	t.Cleanup(h.Close)
	return h
}

func (h *handshakes) count(name string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.byName[name]
}

func askFor(p *Pool, t *testing.T, host string) error {
	r := get("/")
	r.Host = host
	resp, err := p.Do(t.Context(), r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// TestMadeUpHosts: 1,000 hosts that clients make up cost a handshake each, but neither the connections of the hosts
// that people ask for, nor more than a few connections that stay open.
func TestMadeUpHosts(t *testing.T) {
	h := newHandshakes(t)
	p := pool(t, Config{Servers: urls(h.URL), TLS: TLSConfig{Insecure: true}, MaxConnsPerServer: 16})
	var real []string
	for i := range 5 {
		real = append(real, fmt.Sprintf("shop%d.example", i))
	}
	for range knownAfter {
		for _, name := range real {
			if err := askFor(p, t, name); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := range maxNames {
		if err := askFor(p, t, fmt.Sprintf("early%d.example", i)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range real {
		if err := askFor(p, t, name); err != nil {
			t.Fatal(err)
		}
	}
	before := make(map[string]int)
	for _, name := range real {
		before[name] = h.count(name)
	}
	for i := range 1000 {
		if err := askFor(p, t, fmt.Sprintf("made-up%d.example", i)); err != nil {
			t.Fatal(err)
		}
		if err := askFor(p, t, real[i%len(real)]); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range real {
		if n := h.count(name) - before[name]; n > 0 {
			t.Errorf("%d more handshakes for %s, which had a connection", n, name)
		}
	}
	if n := h.open.Load(); n > 16+strangersIdle+2 {
		t.Errorf("%d connections are open", n)
	}
	if n := len(p.names.seen); n > maxNames {
		t.Errorf("%d names are remembered", n)
	}
}

// TestStrangersLeaveRoom: exchanges for made-up hosts that take long hold a share of the connections only, and further
// ones are refused after their wait, while a known host is served.
func TestStrangersLeaveRoom(t *testing.T) {
	h := newHandshakes(t)
	p := pool(t, Config{Servers: urls(h.URL), TLS: TLSConfig{Insecure: true}, MaxConnsPerServer: 16, WaitTimeout: 50 * time.Millisecond})
	for range knownAfter {
		if err := askFor(p, t, "shop.example"); err != nil {
			t.Fatal(err)
		}
	}
	for i := range maxNames {
		if err := askFor(p, t, fmt.Sprintf("early%d.example", i)); err != nil {
			t.Fatal(err)
		}
	}
	const strangers = 40
	done := make(chan error, strangers)
	for i := range strangers {
		go func() { done <- askFor(p, t, fmt.Sprintf("slow%d.example", i)) }()
	}
	// Those that found no place.
	for range strangers - 16/strangersShare {
		if err := <-done; err == nil {
			t.Error("more strangers than their share were let in")
		} else {
			wantKind(t, err, Busy)
		}
	}
	if err := askFor(p, t, "shop.example"); err != nil {
		t.Errorf("a known host: %v", err)
	}
	close(h.hold)
	for range 16 / strangersShare {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	// The places are free again.
	for i := range 16 {
		if err := askFor(p, t, fmt.Sprintf("late%d.example", i)); err != nil {
			t.Error(err)
		}
	}
}

// TestNames: few names are all known; of many, those that are asked for.
func TestNames(t *testing.T) {
	n := newNames(8)
	for i := range maxNames {
		if !n.known(fmt.Sprint(i), 0) {
			t.Fatalf("name %d is a stranger", i)
		}
	}
	for range knownAfter {
		n.known("SHOP.example", 1)
	}
	for i := range 10 * maxNames {
		if n.known(fmt.Sprint("x", i), 2) {
			t.Fatalf("made-up name %d is known", i)
		}
	}
	if !n.known("shop.example", 3) {
		t.Error("a name in use is a stranger")
	}
	for i := range maxNames {
		n.known(fmt.Sprint("x", i), 20*nameFades)
	}
	if n.known("shop.example", 20*nameFades) {
		t.Error("a name that nobody asks for any more is known")
	}
}
