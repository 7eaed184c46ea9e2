package model

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

// TestMain sets how many histories are tried: 10,000, or fewer under the race
// detector; -rapid.checks=N takes another number. A failing history is printed
// with the seed and the file that bring it back.
func TestMain(m *testing.M) {
	checks := "10000"
	if raceEnabled {
		checks = "1000"
	}
	if err := flag.Set("rapid.checks", checks); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m,
		// Each server has one that ends within ten seconds of the server.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
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
