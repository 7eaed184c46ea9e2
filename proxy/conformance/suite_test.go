package conformance

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"
	"time"
)

var (
	showTable   = flag.Bool("table", false, "print the table of results, also when all is as expected")
	otherSuite  = flag.String("suite", "", "run another edition of the suite, in this `folder`; its failures are shown, not judged")
	otherBinary = flag.String("weir", "", "test this `program` instead of building weir")
)

// suiteTimeout bounds all runs; one takes about 20 seconds, of an edition that
// tests Transfer-Encoding a minute. The client of the pinned edition waits for
// ever for an answer that does not come.
const suiteTimeout = 4 * time.Minute

func TestSuite(t *testing.T) {
	if raceEnabled {
		t.Skip("the suite counts lifetimes in seconds of real time, and the race detector makes weir too slow for them")
	}
	suite := prepareSuite(t)
	readSources(t)
	weir := *otherBinary
	if weir == "" {
		weir = buildWeir(t)
	}
	ctx, cancel := context.WithTimeout(t.Context(), suiteTimeout)
	defer cancel()
	if *otherSuite != "" {
		fmt.Print(runSuite(ctx, t, suite, weir))
		return
	}
	expected, err := readExpected("expected-failures.json")
	if err != nil {
		t.Fatal(err)
	}
	r := runSuite(ctx, t, suite, weir)
	faults := expected.compare(r.tests)
	if len(faults) > 0 {
		// Lifetimes of two seconds run out by themselves on a machine that is
		// busy: what is wrong with weir is wrong a second time.
		for _, f := range faults {
			t.Logf("first run: %s", f)
		}
		r = runSuite(ctx, t, suite, weir)
		faults = inBoth(expected.compare(r.tests), faults)
	}
	for _, f := range faults {
		t.Error(f)
	}
	if *showTable {
		fmt.Print(r)
	} else if len(faults) > 0 {
		t.Log(r)
	}
}

// prepareSuite returns the folder of the suite that is to be run.
func prepareSuite(t *testing.T) string {
	t.Helper()
	requireTools(t, "node", "npm")
	if *otherSuite != "" {
		return *otherSuite
	}
	return installSuite(t)
}

// runSuite runs every test of the suite once, with a weir of its own.
func runSuite(ctx context.Context, t *testing.T, suite, weir string) (r report) {
	t.Helper()
	// The processes end with the subtest.
	ok := t.Run("run", func(t *testing.T) {
		origin := startOrigin(t, suite)
		data := startWeir(t, weir, "http://"+origin)
		started := time.Now()
		results, answers := runClient(ctx, t, suite, "http://"+data)
		r = report{tests: judge(ctx, t, suite, results), answers: answers}
		t.Logf("%d tests, %d answers in %v", len(r.tests), len(answers), time.Since(started).Round(time.Second))
	})
	if !ok {
		t.FailNow()
	}
	return r
}

// requireTools skips the test where a tool is missing, or fails it where tools
// are said to be there.
func requireTools(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := lookPath(name); err != nil {
			unavailable(t, "%s is not installed: %v", name, err)
		}
	}
}

// unavailable ends the test for want of something outside the project.
func unavailable(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("WEIR_REQUIRE_TOOLS") == "1" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}
