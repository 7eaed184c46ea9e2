package main

import (
	"bufio"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

const clusterEventsConfig = `listen: 127.0.0.1:0
admin: {listen: 127.0.0.1:0}
origins: {o: {servers: ["http://127.0.0.1:9000"]}}
policies: [{name: all, origin: o}]
cluster: {node: %s, listen: %q, peers: [%q], lease: 1s}
`

// TestClusterEvents: who follows one node's events is told of the peer that comes,
// of what is purged through it, and that it leaves; and the metrics with a peer in
// them are a page that promtool accepts.
func TestClusterEvents(t *testing.T) {
	var routes [2]string
	for i := range routes {
		route, err := freeRoute()
		if err != nil {
			t.Fatal(err)
		}
		routes[i] = route
	}
	one := startNode(t, fmt.Sprintf(clusterEventsConfig, "edge-1", routes[0], routes[1]))
	defer stopNode(t, one)
	_, plane := one.addresses()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, plane+"/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: new(http.Transport), Timeout: patience}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	wantEvent := func(kind, data string) {
		t.Helper()
		for lines.Scan() {
			if lines.Text() == "event: "+kind {
				if !lines.Scan() || !strings.Contains(lines.Text(), data) {
					t.Errorf("event %s: %q does not hold %s", kind, lines.Text(), data)
				}
				return
			}
		}
		t.Fatalf("the stream ended without event %s: %v", kind, lines.Err())
	}

	two := startNode(t, fmt.Sprintf(clusterEventsConfig, "edge-2", routes[1], routes[0]))
	stopped := false
	defer func() {
		if !stopped {
			stopNode(t, two)
		}
	}()
	wantEvent("peer-found", `"peer":"edge-2"`)
	_, other := two.addresses()
	body := strings.NewReader(`{"tags": ["x"], "wait": "all", "timeout": "10s"}`)
	purge, err := client.Post(other+"/v1/purge", "application/json", body)
	if err != nil {
		t.Fatal(err)
	}
	defer purge.Body.Close()
	if purge.StatusCode != http.StatusOK {
		t.Errorf("the purge: status %d", purge.StatusCode)
	}
	wantEvent("purge", `"scope":"x"`)

	if page := metricsPage(t, one); !strings.Contains(page, `weir_peer_up{peer="edge-2"} 1`) {
		t.Errorf("the metrics lack the peer:\n%s", page)
	}
	stopNode(t, two)
	stopped = true
	wantEvent("peer-left", `"peer":"edge-2"`)
	promtoolAccepts(t, metricsPage(t, one)) // last: it may skip
}

func metricsPage(t *testing.T, n *node) string {
	t.Helper()
	var page strings.Builder
	if err := n.metrics.WriteMetrics(&page); err != nil {
		t.Fatal(err)
	}
	return page.String()
}
