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

// suiteTimeout bounds the whole run; it takes about a minute. The client of the
// pinned edition waits for ever for an answer that does not come.
const suiteTimeout = 4 * time.Minute

func TestSuite(t *testing.T) {
	requireTools(t, "node", "npm")
	suite := *otherSuite
	if suite == "" {
		suite = installSuite(t)
	}
	readSources(t)
	weir := *otherBinary
	if weir == "" {
		weir = buildWeir(t)
	}
	ctx, cancel := context.WithTimeout(t.Context(), suiteTimeout)
	defer cancel()

	origin := startOrigin(t, suite)
	data := startWeir(t, weir, "http://"+origin)
	started := time.Now()
	results, answers := runClient(ctx, t, suite, "http://"+data)
	r := report{tests: judge(ctx, t, suite, results), answers: answers}
	if len(r.tests) == 0 {
		t.Fatal("the suite judged no test")
	}
	t.Logf("%d answers in %v", len(answers), time.Since(started).Round(time.Second))

	if *otherSuite != "" {
		fmt.Print(r.String())
		return
	}
	expected, err := readExpected("expected-failures.json")
	if err != nil {
		t.Fatal(err)
	}
	faults := expected.compare(r.tests)
	for _, f := range faults {
		t.Error(f)
	}
	if *showTable {
		fmt.Print(r.String())
	} else if len(faults) > 0 {
		t.Log(r.String())
	}
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
