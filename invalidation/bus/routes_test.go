package bus

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// lines keeps what is logged.
type lines struct {
	mu  sync.Mutex // protects buf
	buf bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *lines) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.buf.String(), text)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

var intruders atomic.Int64

// intruder speaks the protocol of routes by hand: what NATS 2.15 sends first, with the password and the cluster given. It tells
// whether the node went on speaking to it, as to a peer: answered its PING and subscribed.
func intruder(t *testing.T, address, password, cluster string, tc *tls.Config) (taken bool) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(8 * time.Second)); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	if tc != nil {
		secured := tls.Client(conn, tc)
		if err := secured.Handshake(); err != nil {
			return false
		}
		conn, r = secured, bufio.NewReader(secured)
	}
	user := ""
	if password != "" {
		user = fmt.Sprintf(`"user":"weir","pass":%q,`, password)
	}
	// Another one each time: the node may not have noticed yet that the last is gone.
	id := fmt.Sprintf("NINTRUDER%047d", intruders.Add(1))
	_, _ = fmt.Fprintf(conn, "CONNECT {%s\"verbose\":false,\"pedantic\":false,\"tls_required\":%v,\"name\":%q,\"cluster\":%q}\r\n", user, tc != nil, id, cluster)
	_, _ = fmt.Fprintf(conn, "INFO {\"server_id\":%q,\"server_name\":\"intruder\",\"version\":\"2.15.2\",\"proto\":1,\"cluster\":%q,\"headers\":true,\"max_payload\":1048576}\r\nPING\r\n", id, cluster)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return false
		}
		if strings.HasPrefix(line, "PONG") || strings.HasPrefix(line, "RS+ ") || strings.HasPrefix(line, "LS+ ") {
			return true
		}
	}
}

// guarded starts an embedded server that keeps what it logs.
func guarded(t *testing.T, tc *tls.Config) (address string, log *lines) {
	t.Helper()
	log = &lines{}
	n, err := Embedded(RouteOptions{
		Node: "n1", Cluster: "ours", Listen: "127.0.0.1:0", Secret: []byte("s"), TLS: tc, Log: slog.New(slog.NewTextHandler(log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	return n.RouteAddress(), log
}

// TestRouteRefusals: who may not be a peer is refused at the port, and that is said once, in words.
func TestRouteRefusals(t *testing.T) {
	const noSecret = "a node was refused that does not have this cluster's secret"
	pass := routePassword([]byte("s"))
	t.Run("plain", func(t *testing.T) {
		for _, c := range []struct {
			name, password, cluster, says string
			taken                         bool
		}{
			{"with the secret", pass, "ours", "", true},
			{"without a secret", "", "ours", noSecret, false},
			{"with another secret", routePassword([]byte("other")), "ours", noSecret, false},
			{"with the secret itself as the password", "s", "ours", noSecret, false},
			{"with another cluster's name", pass, "theirs", "nodes of one cluster have the same cluster.name", false},
		} {
			t.Run(c.name, func(t *testing.T) {
				address, log := guarded(t, nil)
				for range 3 {
					if taken := intruder(t, address, c.password, c.cluster, nil); taken != c.taken {
						t.Fatalf("taken as a peer: %v\n%s", taken, log)
					}
				}
				if c.says == "" {
					return
				}
				eventually(t, func() bool { return log.count(c.says) > 0 })
				if n := log.count(c.says); n != 1 {
					t.Errorf("said %d times in a minute:\n%s", n, log)
				}
			})
		}
	})
	ours, theirs := newAuthority(t, "ours"), newAuthority(t, "theirs")
	for _, c := range []struct {
		name  string
		tls   *tls.Config
		taken bool
	}{
		{"tls, with a certificate", ours.config("n2"), true},
		{"tls, of another authority", theirs.raw("n2"), false},
		{"tls, without a certificate", &tls.Config{InsecureSkipVerify: true}, false},
		{"tls, in the clear", nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			address, log := guarded(t, ours.config("n1"))
			for range 2 {
				if taken := intruder(t, address, pass, "ours", c.tls); taken != c.taken {
					t.Fatalf("taken as a peer: %v\n%s", taken, log)
				}
			}
			if c.taken {
				return
			}
			const says = "all nodes need cluster.tls, with certificates of one authority"
			eventually(t, func() bool { return log.count(says) > 0 })
			if n := log.count(says); n != 1 {
				t.Errorf("said %d times in a minute:\n%s", n, log)
			}
		})
	}
}

// TestRouteGarbage: whatever is sent to the route port, the node lives.
func TestRouteGarbage(t *testing.T) {
	address, _ := guarded(t, nil)
	for _, raw := range []string{"GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\x02\x00\x01", strings.Repeat("A", 1<<20), "CONNECT {\r\n", "RMSG $G x 99999999999\r\n"} {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		_, _ = io.WriteString(conn, raw)
		_, _ = conn.Read(make([]byte, 4096))
		_ = conn.Close()
	}
	if !intruder(t, address, routePassword([]byte("s")), "ours", nil) {
		t.Error("a peer is refused afterwards")
	}
}
