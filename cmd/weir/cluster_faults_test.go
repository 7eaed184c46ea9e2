package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"weir/proxy/admin"
)

// TestClusterFaults: while three nodes are asked and purged, one after the other
// is stopped for longer than the lease, killed, killed and its disk wiped, and
// away for so long that its peers' logs no longer have what it missed. Whatever was
// acknowledged before a request is never answered with what it purged, from the
// first answer of a node that is back; and in the end all nodes have applied
// everything.
func TestClusterFaults(t *testing.T) {
	t.Parallel()
	for _, isolation := range []string{"serve", "revalidate"} {
		t.Run(isolation, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, isolation, freeSite(t))
			c.run()
			for round := range *clusterRounds {
				at := func(fault int) int { return (round + fault) % clusterSize }
				for i := range c.nodes {
					c.waitHits(i, 20)
				}
				c.stopped(at(2))
				c.killed(at(1), false)
				c.killed(at(0), true)
				c.truncated(at(2))
			}
			c.stop()
			c.verdict()
		})
	}
}

// stopped: a node is stopped for longer than the lease, and goes on as if nothing
// had been. The first that it finds are requests that came after purges that it
// has not heard of.
func (c *cluster) stopped(i int) {
	c.t.Helper()
	n := c.nodes[i]
	c.signal(i, syscall.SIGSTOP)
	waitFor(c.t, n.name+" stands still", func() bool { return processState(c.t, n.p.cmd.Process.Pid) == 'T' })
	stopped := time.Now()
	c.setAway(i, true)
	c.waitPurged(clusterPages)
	waitFor(c.t, "a lease and a half is over", func() bool { return time.Since(stopped) > clusterLease*3/2 })
	c.back(i, func() {
		c.setAway(i, false)
		c.signal(i, syscall.SIGCONT)
	})
}

// killed: a node is killed and started again on its directory, or on an empty one.
func (c *cluster) killed(i int, wipe bool) {
	c.t.Helper()
	c.kill(i)
	c.waitPurged(clusterPages)
	if wipe {
		if err := os.RemoveAll(c.nodes[i].dir); err != nil {
			c.t.Fatal(err)
		}
	}
	c.restart(i)
}

func (c *cluster) kill(i int) {
	c.t.Helper()
	// Away from before it dies: a request that is under way may break.
	c.setAway(i, true)
	c.signal(i, syscall.SIGKILL)
	<-c.nodes[i].p.exited
}

// restart starts a node; what was acknowledged until it is ready, it owes.
func (c *cluster) restart(i int) {
	c.t.Helper()
	c.start(i)
	c.back(i, func() { c.setAway(i, false) })
}

// back lets a node come back to requests that wait for it, one for each page, and
// waits until it uses its cache again.
func (c *cluster) back(i int, comes func()) {
	c.t.Helper()
	var wg sync.WaitGroup
	url := c.nodes[i].url.Load().(string)
	for n := range c.pages {
		wg.Go(func() { c.get(c.t.Context(), c.client, i, url, n) })
	}
	comes()
	wg.Wait()
	c.waitGate(i, "open")
	c.waitHits(i, 10)
	c.waitLive()
}

// truncated: a node misses more than the logs of its peers hold. It cannot know
// what it missed, so it uses nothing that it has. Where its own log could not be written
// in time before it was killed, it says that.
func (c *cluster) truncated(i int) {
	c.t.Helper()
	c.kill(i)
	c.waitPurged(clusterPages)
	// Tags that nobody has, but long ones: several times the log's bound. Through
	// both others, since the node may ask either.
	for _, j := range []int{(i + 1) % clusterSize, (i + 2) % clusterSize} {
		for k := range 12 {
			request := admin.PurgeRequest{Wait: "local"}
			for tag := range 100 {
				request.Tags = append(request.Tags, fmt.Sprintf("%s-%d-%d-%d", strings.Repeat("x", 400), rand.Uint64(), k, tag))
			}
			var r admin.PurgeResult
			if code, err := c.ask(c.t.Context(), j, http.MethodPost, "/v1/purge", &request, &r); err != nil || code != http.StatusOK {
				c.t.Fatalf("status %d: %v", code, err)
			}
		}
	}
	c.restart(i)
	if !c.nodes[i].p.log.awaitMatch(regexp.MustCompile("can no longer be had; everything stored is invalidated|whatever was stored before is invalid")) {
		c.t.Errorf("%s does not say that it lacks what nobody has any more:\n%s", c.nodes[i].name, c.nodes[i].p.log)
	}
}

// processState is the letter that the kernel gives it (proc(5), stat).
func processState(t *testing.T, pid int) byte {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), ") ")
	if !ok || rest == "" {
		t.Fatalf("cannot read the state from %q", text)
	}
	return rest[0]
}
