package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"weir/configs"
	"weir/invalidation"
	"weir/invalidation/bus"
	"weir/proxy/admin"
	"weir/proxy/metrics"
)

// joinCluster connects the node's purges with those of its peers. From then on the
// gate says whether the cache may be used unconfirmed.
func (n *node) joinCluster() error {
	c := n.cfg.Cluster
	if c == nil {
		return nil
	}
	secret, err := readSecret(c.SecretFile)
	if err != nil {
		return err
	}
	transport, err := n.clusterTransport(c, secret)
	if err != nil {
		return err
	}
	o := bus.Options{
		Node: n.purges, Cluster: c.Name, Secret: secret, Transport: transport, Expected: expectedPeers(c),
		Quorum: c.Quorum, Lease: c.Lease, Forget: c.Forget, Log: n.log, Event: n.clusterEvent,
	}
	if c.OnIsolation == configs.IsolationRevalidate {
		o.OnIsolation = bus.Revalidate
	}
	if d := n.cfg.Tiers.Disk; d != nil {
		o.Names = filepath.Join(d.Path, "purges", "peers")
	}
	if n.bus, err = bus.Open(o); err != nil {
		transport.Close()
	}
	return err
}

func (n *node) clusterTransport(c *configs.Cluster, secret []byte) (*bus.NATS, error) {
	if c.NATS != "" {
		return bus.External(c.NATS, c.Node, c.Name, n.log)
	}
	o := bus.RouteOptions{Node: c.Node, Cluster: c.Name, Listen: c.Listen, Peers: c.Peers, Secret: secret, Log: n.log}
	if c.TLS != nil {
		t, err := clusterTLS(c.TLS)
		if err != nil {
			return nil, err
		}
		o.TLS = t
	}
	transport, err := bus.Embedded(o)
	if err != nil {
		return nil, listenFault("cluster.listen", err)
	}
	return transport, nil
}

func clusterTLS(c *configs.ClusterTLS) (*tls.Config, error) {
	var pem [3][]byte
	for i, name := range []string{c.CA, c.Cert, c.Key} {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("cannot read a file of cluster.tls: %w", err)
		}
		pem[i] = b
	}
	t, err := bus.MutualTLS(pem[0], pem[1], pem[2])
	if err != nil {
		return nil, fmt.Errorf("cannot use cluster.tls: %w", err)
	}
	return t, nil
}

// readSecret reads what the nodes share; white space around it does not count.
func readSecret(path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read cluster.secret_file: %w", err)
	}
	if b = bytes.TrimSpace(b); len(b) == 0 {
		return nil, errors.New("cluster.secret_file is empty")
	}
	if len(b) < configs.MinSecret {
		return nil, fmt.Errorf("the secret in cluster.secret_file has a length of %d (valid is %d or more)", len(b), configs.MinSecret)
	}
	return b, nil
}

// expectedPeers is how many peers the configuration names, 0 where it cannot say.
func expectedPeers(c *configs.Cluster) int {
	if c.PeersUncounted() {
		return 0
	}
	return c.Others()
}

// clusterEvent passes on what happens between the nodes.
func (n *node) clusterEvent(e bus.Event) {
	n.events.Publish(e.Kind.String(), struct {
		At   time.Time `json:"at"`
		Peer string    `json:"peer,omitempty"`
		Text string    `json:"text,omitempty"`
	}{e.At.UTC(), e.Peer, e.Text})
}

// clusterStatus is how the node stands among its peers.
func (n *node) clusterStatus(s *admin.Status) {
	st := n.purges.Stats()
	s.Purges = admin.PurgesStatus{Epoch: st.Epoch, Scopes: st.Scopes, Floor: st.Floor, Last: st.Last, Log: st.Log.String(), Unlogged: st.Unlogged}
	if n.bus == nil {
		return
	}
	b := n.bus.Status()
	s.Cluster = &admin.ClusterStatus{
		Name: n.cfg.Cluster.Name, Gate: b.Gate, PendingPurges: b.Pending, DroppedMessages: b.Dropped,
		RefusedMessages: b.Foreign, Positions: positions(b.Positions),
	}
	for _, p := range b.Peers {
		ago := -1.0
		if !p.Answered.IsZero() {
			ago = time.Since(p.Answered).Round(time.Millisecond).Seconds()
		}
		s.Peers = append(s.Peers, admin.PeerStatus{
			Name: p.Name, Live: p.Live, AnsweredSecondsAgo: ago, Lag: p.Lag, Ahead: p.Ahead, Positions: positions(p.Positions),
		})
	}
}

func positions(v invalidation.Vector) []admin.Position {
	out := make([]admin.Position, 0, len(v))
	for _, o := range v.Sorted() {
		out = append(out, admin.Position{Node: o.Node, Incarnation: strconv.FormatUint(o.Incarnation, 16), Number: v[o]})
	}
	return out
}

// wireClusterMetrics shows the peers.
func (n *node) wireClusterMetrics() {
	if n.bus == nil {
		return
	}
	n.metrics.SetPeers(bus.Gates(), func() metrics.Peers {
		s := n.bus.Status()
		p := metrics.Peers{Gate: s.Gate, Pending: s.Pending, Dropped: s.Dropped, Foreign: s.Foreign}
		for _, peer := range s.Peers {
			p.Rows = append(p.Rows, metrics.PeerRow{Peer: peer.Name, Live: peer.Live, Lag: peer.Lag})
		}
		return p
	})
}
