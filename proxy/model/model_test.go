package model

import (
	"flag"
	"runtime"
	"testing"

	"github.com/valyala/fasthttp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"
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
	// Fasthttp starts a ticker with the first header that it writes, and never
	// ends it: it must not be in the bubble of a history.
	_ = new(fasthttp.ResponseHeader).Header()
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
