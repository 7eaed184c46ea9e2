package configs

import "time"

// Cluster is this node's place among its peers.
type Cluster struct {
	// Name is the same on all nodes of a cluster.
	Name string
	Node string
	// Listen is the address for routes; empty when NATS is set.
	Listen string
	// Peers are host:port, or "srv:" and the name of SRV records. A name may
	// resolve to several hosts.
	Peers []string
	// NATS is the URL of an external NATS server, or empty.
	NATS string
	// SecretFile holds the shared secret; empty only when Listen is loopback or
	// NATS is set.
	SecretFile string
	// TLS is nil only when Listen is loopback or NATS is set.
	TLS         *ClusterTLS
	OnIsolation OnIsolation
	// Quorum is how many nodes, this one counted, must be heard from.
	Quorum int
	// Lease is how long a node trusts what it last heard; Forget is after which
	// time a peer that is away is no longer waited for.
	Lease, Forget time.Duration
}

const (
	// DefaultClusterName is what a cluster without a name is called.
	DefaultClusterName = "weir"
	// DefaultLease is cluster.lease.
	DefaultLease = 2 * time.Second
	// DefaultForget is cluster.forget.
	DefaultForget = time.Hour
)

// ClusterTLS names the PEM files for routes; peers verify each other.
type ClusterTLS struct {
	CA, Cert, Key string
}

// OnIsolation is what a node does that hears from too few peers.
type OnIsolation uint8

const (
	// IsolationServe goes on serving from the cache.
	IsolationServe OnIsolation = iota
	// IsolationRevalidate asks the origin before every use.
	IsolationRevalidate
)

// String names the value as the file does.
func (o OnIsolation) String() string {
	if o == IsolationRevalidate {
		return "revalidate"
	}
	return "serve"
}
