package model

import (
	"flag"
	"runtime"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"weir/proxy/front"
)

// TestMain sets how many histories are tried: 10,000, or fewer under the race
// detector. They are the same at every run, so that a change is what turns a
// green test red; -rapid.seed=0 -rapid.checks=N tries N others. A failing history
// is printed with the seed that brings it back.
func TestMain(m *testing.M) {
	checks := "1000"
	if !raceEnabled {
		checks = "10000"
		// Requests that go on at the same moment do so in an order that comes
		// back, so that a failing history shrinks.
		runtime.GOMAXPROCS(1)
	}
	for name, value := range map[string]string{"rapid.checks": checks, "rapid.seed": "9111", "rapid.nofailfile": "true"} {
		if err := flag.Set(name, value); err != nil {
			panic(err)
		}
	}
	// A ticker starts with the first answer that is written, and never
	// ends: it must not be in the bubble of a history.
	if _, err := front.NewRecorder("GET / HTTP/1.1\r\nHost: h\r\n\r\n", nil); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m,
		// One ticker for the life of the process, owned by fasthttp.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"))
}

// TestModel: no answer of any history breaks a rule of the model.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := histories.Draw(rt, "history")
		if f := h.run(t, &shim{}); f != nil {
			rt.Fatalf("%s\n%s", f.text, h)
		}
	})
}
