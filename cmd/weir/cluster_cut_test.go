package main

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestClusterCut: a node's link to its peers is cut for longer than the lease, and
// healed, while all are asked and purged. With on_isolation: serve the node goes on
// with what it has, and from when it has caught up it owes what its peers
// acknowledged meanwhile; with revalidate, it owes that one lease after they did.
func TestClusterCut(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("ip"); err != nil {
		const how = "cannot find ip (Debian: apt-get install iproute2): %v"
		if os.Getenv("WEIR_REQUIRE_TOOLS") == "1" {
			t.Fatalf(how, err)
		}
		t.Skipf(how, err)
	}
	if !inMountNamespace(t) {
		return
	}
	// ip(8) keeps its namespaces where only this process and its children see them.
	if err := unix.Mount("tmpfs", "/var/run", "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "ip", "netns", "add", "probe").CombinedOutput(); err != nil {
		t.Skipf("no network namespace can be made here: %v: %s", err, out)
	}
	for _, isolation := range []string{"serve", "revalidate"} {
		t.Run(isolation, func(t *testing.T) {
			t.Parallel()
			wires := newNetwork(t, isolation)
			c := newCluster(t, isolation, wires.site())
			c.run()
			for i := range c.nodes {
				c.waitHits(i, 20)
			}
			c.cutOff(wires, 2)
			c.verdict()
		})
	}
}

// cutOff cuts a node's link and heals it.
func (c *cluster) cutOff(wires *network, i int) {
	c.t.Helper()
	n := c.nodes[i]
	wires.cut(i)
	cut := time.Now()
	for j := range c.nodes {
		waitFor(c.t, c.nodes[j].name+" misses whom it does not hear", func() bool {
			for _, p := range c.status(j).Peers {
				if (j == i || p.Name == n.name) && p.Live {
					return false
				}
			}
			return true
		})
	}
	waitFor(c.t, "a lease and a half is over", func() bool { return time.Since(cut) > clusterLease*3/2 })
	want := "open"
	if c.isolation == "revalidate" {
		want = "isolated"
	}
	if got := c.status(i).Cluster.Gate; got != want {
		c.t.Errorf("%s is cut off; its gate is %s, want %s", n.name, got, want)
	}
	missed := c.status((i + 1) % clusterSize).Cluster.Positions
	c.waitPurged(2 * clusterPages)
	for j := range c.nodes {
		c.waitHits(j, 20)
		if gate := c.status(j).Cluster.Gate; j != i && gate != "open" {
			c.t.Errorf("%s hears from a peer; its gate is %s", c.nodes[j].name, gate)
		}
	}
	if c.covers(i, missed) {
		c.t.Errorf("%s has what was purged by others: it was not cut off", n.name)
	}
	wires.heal(i)
	c.level()
	c.waitLive()
	for j := range c.nodes {
		c.waitGate(j, "open")
	}
	// What was acknowledged while they came back to each other.
	c.level()
	c.waitPurged(clusterPages)
	c.waitHits(i, 20)
}
