package configs

import (
	"net"
	"slices"
	"strings"
	"time"
)

// decodeCluster reads what a node knows of its cluster, nil when left out.
func decodeCluster(v value) *Cluster {
	o := v.object("a mapping with node, listen and peers; leave cluster out for a single node")
	nats := o.key("nats")
	listen, peers, secret, tls := o.key("listen"), o.key("peers"), o.key("secret_file"), o.key("tls")
	c := Cluster{
		Node:       o.need("node", validName).str("", validName, checkName),
		Name:       o.key("name").str(DefaultClusterName, validName, checkName),
		NATS:       nats.str("", "a URL such as nats://10.0.0.9:4222", checkNATS),
		Listen:     listen.str("", validAddress, checkAddress),
		Peers:      words(peers.list("a list of host:port"), validPeer, checkPeer),
		SecretFile: secret.file(),
		TLS:        decodeClusterTLS(tls),
		Lease:      o.key("lease").duration(DefaultLease, 500*time.Millisecond, time.Minute),
		Forget:     o.key("forget").duration(DefaultForget, time.Minute, 30*24*time.Hour),
	}
	isolation, quorum := o.key("on_isolation"), o.key("quorum")
	c.OnIsolation = OnIsolation(isolation.choice(int(IsolationServe), IsolationServe.String(), IsolationRevalidate.String()))
	// A majority of the nodes named, so that two halves never both have one.
	c.Quorum = quorum.integer((c.Others()+1)/2+1, 1, 1000)
	o.done()
	if !isObject(v) {
		return nil
	}
	if c.SecretFile != "" {
		v.d.refer(fileRef{kind: fileSecret, value: secret, path: c.SecretFile})
	}
	checkRoutes(o, &c, nats, listen, secret, tls)
	named := slices.IndexFunc(c.Peers, func(p string) bool { return !strings.HasPrefix(p, srvPrefix) && !byAddress(p) })
	if named >= 0 && !quorum.given() && c.OnIsolation == IsolationRevalidate {
		isolation.warn("the default quorum of %d takes %q for one node; give quorum where the name stands for several", c.Quorum, c.Peers[named])
	}
	switch uncounted := c.PeersUncounted(); {
	case quorum.given() && c.OnIsolation == IsolationServe:
		quorum.warn("does nothing with on_isolation: serve")
	case !quorum.given() && c.OnIsolation == IsolationRevalidate && uncounted:
		isolation.fault("quorum: beside it, more than half of the nodes", "how many nodes there are is not known from nats or srv: entries, so a majority is not")
	}
	return &c
}

// PeersUncounted reports whether the configuration does not say how many peers there
// are.
func (c *Cluster) PeersUncounted() bool {
	return c.NATS != "" || slices.ContainsFunc(c.Peers, func(p string) bool { return strings.HasPrefix(p, srvPrefix) })
}

// byAddress reports whether a peer is named by its IP address.
func byAddress(peer string) bool {
	host, _, err := net.SplitHostPort(peer)
	return err == nil && net.ParseIP(host) != nil
}

// Others is how many other nodes Peers names; this one, named among them by the
// address it listens on, does not count.
func (c *Cluster) Others() int {
	n := 0
	for _, p := range c.Peers {
		if p != c.Listen {
			n++
		}
	}
	return n
}

// checkRoutes holds that routes which other machines can reach are both
// encrypted and secret.
func checkRoutes(o *object, c *Cluster, nats, listen, secret, tls value) {
	if nats.given() {
		for _, v := range []value{listen, o.key("peers")} {
			if v.given() {
				v.fault("nats, or listen and peers", "the external server of cluster.nats leads to the peers; this does nothing beside it")
			}
		}
		return
	}
	if !listen.given() {
		o.missing("listen", "host:port for the peers, or nats: with the URL of a server")
		return
	}
	if c.Listen == "" || loopback(c.Listen) {
		return
	}
	const valid = "both secret_file and tls, or a loopback address"
	if !secret.given() {
		listen.fault(valid, "%s is open to other machines and there is no secret_file", quote(c.Listen))
	}
	if !tls.given() {
		listen.fault(valid, "%s is open to other machines and there is no tls", quote(c.Listen))
	}
}

func decodeClusterTLS(v value) *ClusterTLS {
	const valid = "a mapping with ca, cert and key, the names of PEM files"
	o := v.object(valid)
	ca, cert, key := o.need("ca", valid), o.need("cert", valid), o.need("key", valid)
	t := ClusterTLS{CA: ca.file(), Cert: cert.file(), Key: key.file()}
	o.done()
	if t.CA != "" {
		v.d.refer(fileRef{kind: fileCA, value: ca, path: t.CA})
	}
	if t.Cert != "" && t.Key != "" {
		v.d.refer(fileRef{kind: fileKeyPair, value: cert, path: t.Cert, keyValue: key, key: t.Key})
	}
	if !isObject(v) {
		return nil
	}
	return &t
}
