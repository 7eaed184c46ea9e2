package load_test

import (
	"testing"

	"weir/loadtest/load"
	"weir/loadtest/loadorigin"
)

// Each connection brings exactly as many answers as were asked for, the first ones and the later ones alike.
func TestRequestsOnAConnection(t *testing.T) {
	engines(t, func(t *testing.T, blocking bool) {
		origin, _ := startOrigin(t, loadorigin.Options{})
		for _, per := range []int{1, 2, 3} {
			res := run(t, load.Options{Target: origin, Path: "/o/1;size=64", Connections: 1, Requests: 120, PerConnection: per, Blocking: blocking})
			if want := int64(120 / per); res.Opened != want || res.Answers != 120 || res.Faults.Total != 0 {
				t.Errorf("%d on a connection: %d opened, want %d; %d answers, faults %+v", per, res.Opened, want, res.Answers, res.Faults)
			}
		}
	})
}
