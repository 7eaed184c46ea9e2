package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"math/big"
	mrand "math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"weir/proxy/admin"
)

var clusterRounds = flag.Int("cluster.rounds", 1, "how often the tests of a cluster go through all faults")

const (
	clusterSize  = 3
	clusterLease = 2 * time.Second
	clusterToken = "let me purge"
)

// cluster is three nodes that run as processes of their own, the traffic to them,
// and what they owe.
type cluster struct {
	*truth
	isolation string
	dir       string
	nodes     [clusterSize]*clusterNode
	client    *http.Client
	stop      func() // of traffic and purges
	purged    atomic.Int64
	// last is the id of the last purge that each node took.
	last [clusterSize]atomic.Value
}

type clusterNode struct {
	name, dir, config string
	prefix            []string // of the command, for a namespace of its own
	p                 *process
	// url and admin are for whoever asks while the node comes and goes.
	url, admin atomic.Value
}

// place is where a node is.
type place struct {
	data, admin, route string // host:port
	prefix             []string
}

// site is where a cluster is.
type site struct {
	places [clusterSize]place
	// origins are where the nodes find the origin, all by the same address.
	origins []net.Listener
	// dial reaches the nodes; nil is the usual way.
	dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// newCluster starts the nodes and waits until all use their caches.
func newCluster(t *testing.T, isolation string, at site) *cluster {
	t.Helper()
	c := &cluster{truth: newTruth(t, clusterSize), isolation: isolation, dir: t.TempDir(), client: &http.Client{
		Transport: &http.Transport{MaxIdleConnsPerHost: 64, DialContext: at.dial}, Timeout: 30 * time.Second,
	}}
	if isolation == "revalidate" {
		c.lease = clusterLease
	}
	t.Cleanup(c.client.CloseIdleConnections)
	origin := c.origin(at.origins)
	writeClusterFiles(t, c.dir)
	for i, own := range at.places {
		n := &clusterNode{name: fmt.Sprintf("edge-%d", i+1), prefix: own.prefix}
		n.dir = filepath.Join(c.dir, n.name)
		n.config = n.dir + ".yaml"
		var peers []string
		for j, other := range at.places {
			if j != i {
				peers = append(peers, other.route)
			}
		}
		text := fmt.Sprintf(clusterConfig, own.data, own.admin, sha256.Sum256([]byte(clusterToken)), n.dir, origin,
			n.name, own.route, strings.Join(peers, ", "), clusterLease, isolation, c.dir, c.dir, c.dir, n.name, c.dir, n.name)
		if err := os.WriteFile(n.config, []byte(hasty(text)), 0o600); err != nil {
			t.Fatal(err)
		}
		c.nodes[i] = n
		c.start(i)
	}
	t.Cleanup(func() {
		for _, n := range c.nodes {
			c.end(n)
		}
	})
	for i := range c.nodes {
		c.waitGate(i, "open")
	}
	return c
}

// The log of purges is short, so that a node that was away can be beyond its end.
const clusterConfig = `listen: %s
admin: {listen: %s, tokens: [{name: test, sha256: "%x", scopes: [read, purge]}]}
tiers: {ram: {size: 1MiB, max_object: 16KiB}, disk: {path: %s, size: 64MiB, purge_log: 128KiB}}
origins: {o: {servers: [%q]}}
policies: [{name: all, origin: o}]
cluster:
  node: %s
  listen: %s
  peers: [%s]
  lease: %s
  on_isolation: %s
  secret_file: %s/secret
  tls: {ca: %s/ca.pem, cert: %s/%s.pem, key: %s/%s.key}
`

// end stops a node in good order, and looks through what it wrote.
func (c *cluster) end(n *clusterNode) {
	if err := n.p.end(); err != nil {
		c.t.Errorf("%s: %v", n.name, err)
	}
	for _, bad := range []string{"DATA RACE", "panic", "BUG:"} {
		if strings.Contains(n.p.log.String(), bad) {
			c.t.Errorf("%s: its log holds %q", n.name, bad)
		}
	}
	if c.t.Failed() {
		c.t.Logf("--- log of %s\n%s", n.name, tail(n.p.log.String(), 4000))
	}
}

// start runs a node and waits until it is ready, which is before its gate opens.
func (c *cluster) start(i int) {
	c.t.Helper()
	n := c.nodes[i]
	p, err := launchWeir(n.config, c.dir, n.prefix...)
	if err != nil {
		c.t.Fatal(err)
	}
	n.p = p
	line := p.awaitReady()
	data, adminPart, ok := strings.Cut(line, ", admin ")
	if !ok {
		c.t.Fatalf("%s did not get ready; it wrote:\n%s", n.name, p.log)
	}
	n.url.Store(strings.TrimPrefix(data, "weir ready: data "))
	n.admin.Store(strings.TrimSpace(adminPart))
}

// freeSite is on loopback; each node has a host that nobody else uses.
func freeSite(t *testing.T) (s site) {
	t.Helper()
	for i := range s.places {
		route, err := freeRoute()
		if err != nil {
			t.Fatal(err)
		}
		host, _, _ := net.SplitHostPort(route)
		s.places[i] = place{data: host + ":0", admin: host + ":0", route: route}
	}
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.origins = []net.Listener{ln}
	return s
}

// freeRoute is an address on loopback of a host that nobody else uses.
func freeRoute() (string, error) {
	host := fmt.Sprintf("127.%d.%d.%d", 1+mrand.IntN(254), mrand.IntN(256), 1+mrand.IntN(254))
	ln, err := new(net.ListenConfig).Listen(context.Background(), "tcp", host+":0")
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}

// ask sends a request to a node's admin plane and reads its JSON.
func (c *cluster) ask(ctx context.Context, i int, method, path string, in, out any) (status int, err error) {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return 0, err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.nodes[i].admin.Load().(string)+path, body)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+clusterToken)
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	return resp.StatusCode, json.NewDecoder(resp.Body).Decode(out)
}

func (c *cluster) status(i int) (s admin.Status) {
	c.t.Helper()
	if code, err := c.ask(c.t.Context(), i, http.MethodGet, "/v1/status", nil, &s); err != nil || code != http.StatusOK {
		c.t.Fatalf("%s: status %d: %v", c.nodes[i].name, code, err)
	}
	return s
}

func (c *cluster) waitGate(i int, want string) {
	c.t.Helper()
	waitFor(c.t, c.nodes[i].name+"'s gate is "+want, func() bool { return c.status(i).Cluster.Gate == want })
}

// purge makes a new version of a page and purges the old one through node i.
func (c *cluster) purge(ctx context.Context, i, n int, timeout time.Duration) (r admin.PurgeResult, version uint64, err error) {
	p := &c.pages[n]
	request := admin.PurgeRequest{Wait: "all", Timeout: timeout.String()}
	if n%2 == 0 {
		request.Tags = []string{fmt.Sprintf("page-%d", n)}
	} else {
		request.URLs = []string{"//pages.example" + p.path}
	}
	version = p.version.Add(1)
	code, err := c.ask(ctx, i, http.MethodPost, "/v1/purge", &request, &r)
	if err == nil && code != http.StatusOK && code != http.StatusAccepted {
		err = fmt.Errorf("status %d", code)
	}
	if err != nil {
		return r, version, err
	}
	if (code == http.StatusAccepted) != (len(r.Pending) > 0) {
		c.fault("purge %s: status %d with pending %v", r.ID, code, r.Pending)
	}
	c.acknowledged(n, version, c.named(r.Applied)...)
	c.last[i].Store(r.ID)
	c.purged.Add(1)
	return r, version, nil
}

func (c *cluster) named(list []admin.PurgeByNode) (nodes []int) {
	for _, by := range list {
		for i, n := range c.nodes {
			if n.name == by.Node {
				nodes = append(nodes, i)
			}
		}
	}
	return nodes
}

// run asks and purges on all nodes until stop.
func (c *cluster) run() {
	ctx, cancel := context.WithCancel(c.t.Context())
	var wg sync.WaitGroup
	paced := func(every time.Duration, do func()) {
		wg.Go(func() {
			tick := time.NewTicker(every)
			defer tick.Stop()
			for {
				select {
				case <-tick.C:
					do()
				case <-ctx.Done():
					return
				}
			}
		})
	}
	// The race detector makes requests dear, and needs fewer to find what it looks for.
	every := 8 * time.Millisecond
	if raceEnabled {
		every = 24 * time.Millisecond
	}
	for i := range c.nodes {
		for range 3 {
			paced(every, func() {
				c.get(ctx, c.client, i, c.nodes[i].url.Load().(string), mrand.IntN(clusterPages))
			})
		}
		paced(60*time.Millisecond, func() {
			if c.isAway(i) {
				return
			}
			times := c.restarts[i].Load()
			_, _, err := c.purge(ctx, i, mrand.IntN(clusterPages), 200*time.Millisecond)
			if err != nil && ctx.Err() == nil && times%2 == 0 && c.restarts[i].Load() == times {
				c.fault("%s: purge: %v", c.nodes[i].name, err)
			}
		})
	}
	var once sync.Once
	c.stop = func() { once.Do(func() { cancel(); wg.Wait() }) }
	c.t.Cleanup(c.stop)
}

func (c *cluster) isAway(i int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.away[i]
}

// waitPurged waits until n more purges were acknowledged.
func (c *cluster) waitPurged(n int64) {
	c.t.Helper()
	want := c.purged.Load() + n
	waitFor(c.t, fmt.Sprintf("%d purges", n), func() bool { return c.purged.Load() >= want })
}

// waitHits waits until the node has answered from its cache n more times.
func (c *cluster) waitHits(i int, n int64) {
	c.t.Helper()
	want := c.hits[i].Load() + n
	waitFor(c.t, c.nodes[i].name+" answers from its cache", func() bool { return c.hits[i].Load() >= want })
}

// signal stops or continues a node.
func (c *cluster) signal(i int, s syscall.Signal) {
	c.t.Helper()
	if err := c.nodes[i].p.cmd.Process.Signal(s); err != nil {
		c.t.Fatal(err)
	}
}

// converged waits until all nodes have the same positions, and each says of the
// last purge that it took that all have applied it.
func (c *cluster) converged() {
	c.t.Helper()
	waitFor(c.t, "all positions are equal", func() bool {
		want := fmt.Sprint(c.status(0).Cluster.Positions)
		return fmt.Sprint(c.status(1).Cluster.Positions) == want && fmt.Sprint(c.status(2).Cluster.Positions) == want
	})
	for i := range c.nodes {
		id, _ := c.last[i].Load().(string)
		waitFor(c.t, fmt.Sprintf("%s knows that all have %s", c.nodes[i].name, id), func() bool {
			var one struct {
				Applied []admin.PurgeByNode
				Pending []string
			}
			code, err := c.ask(c.t.Context(), i, http.MethodGet, "/v1/purges/"+id, nil, &one)
			if err != nil || code != http.StatusOK {
				c.t.Fatalf("%s: %s: status %d: %v", c.nodes[i].name, id, code, err)
			}
			return len(one.Applied) == clusterSize && len(one.Pending) == 0
		})
	}
}

// waitLive waits until each node hears from both others.
func (c *cluster) waitLive() {
	c.t.Helper()
	for i, n := range c.nodes {
		waitFor(c.t, n.name+" hears from both peers", func() bool {
			s := c.status(i)
			return len(s.Peers) == 2 && s.Peers[0].Live && s.Peers[1].Live
		})
	}
}

// verdict: once the traffic has stopped, the nodes agree, and no answer was stale.
func (c *cluster) verdict() {
	c.t.Helper()
	c.stop()
	c.converged()
	c.level()
	for i, n := range c.nodes {
		for page := range c.pages {
			c.get(c.t.Context(), c.client, i, n.url.Load().(string), page)
		}
	}
	if c.stale.Load() > 0 {
		c.t.Errorf("%d stale answers after acknowledgement, 0 are allowed", c.stale.Load())
	}
	c.t.Logf("%d purges, answers by node %d %d %d, of which from the cache %d %d %d, origin asked %d times, stale after acknowledgement %d",
		c.purged.Load(), c.answers[0].Load(), c.answers[1].Load(), c.answers[2].Load(),
		c.hits[0].Load(), c.hits[1].Load(), c.hits[2].Load(), c.fetched.Load(), c.stale.Load())
}

// level waits until each node has applied what anybody has by now; from then on
// each owes what any of them has acknowledged.
func (c *cluster) level() {
	c.t.Helper()
	owed := c.owedByAny() // before the positions, which therefore cover it
	var want []admin.Position
	for i := range c.nodes {
		want = append(want, c.status(i).Cluster.Positions...)
	}
	for i, n := range c.nodes {
		waitFor(c.t, n.name+" has applied what the others have", func() bool { return c.covers(i, want) })
		for page, version := range owed {
			c.owe(i, page, version)
		}
	}
}

// covers tells whether a node has applied all up to the positions.
func (c *cluster) covers(i int, want []admin.Position) bool {
	c.t.Helper()
	type origin struct{ node, incarnation string }
	has := make(map[origin]uint64)
	for _, at := range c.status(i).Cluster.Positions {
		has[origin{at.Node, at.Incarnation}] = at.Number
	}
	for _, at := range want {
		if has[origin{at.Node, at.Incarnation}] < at.Number {
			return false
		}
	}
	return true
}

// writeClusterFiles writes the secret, an authority, and each node's certificate.
func writeClusterFiles(t *testing.T, dir string) {
	t.Helper()
	write := func(name, kind string, data []byte) {
		if kind != "" {
			data = pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data})
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("secret", "", []byte("a secret of this test\n"))
	template := func(name string, ca bool) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(mrand.Int64()), Subject: pkix.Name{CommonName: name},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
			KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: ca, BasicConstraintsValid: true,
		}
	}
	var caKey *ecdsa.PrivateKey
	ca := template("authority", true)
	for _, name := range []string{"ca", "edge-1", "edge-2", "edge-3"} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		cert := ca
		if name == "ca" {
			caKey = key
		} else {
			cert = template(name, false)
		}
		der, err := x509.CreateCertificate(rand.Reader, cert, ca, &key.PublicKey, caKey)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		write(name+".pem", "CERTIFICATE", der)
		write(name+".key", "PRIVATE KEY", raw)
	}
}
