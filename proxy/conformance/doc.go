// Package conformance runs the public HTTP caching suite, http-cache-tests,
// against weir: the suite's own server as origin, the real program with the
// minimal configuration (weir.yaml) in front of it, the suite's own client, and
// the suite's own judgement of the results.
//
//	go test ./proxy/conformance -run TestSuite -count=1 -table
//
// TestSuite builds weir, installs the suite with `npm ci` where that has not been
// done, and takes half a minute. It needs Node and npm and is skipped without
// them, unless WEIR_REQUIRE_TOOLS=1, and under the race detector. With -suite it
// runs another edition, with -weir another program.
//
// Tests come in three kinds. Required and optimal ones are to pass;
// expected-failures.json names those that do not, each with the reason, and may
// only shrink: the test fails when one fails that is not listed, and when a listed
// one passes. A test whose dependency failed says nothing and is counted apart.
// Checks only ask which way a cache goes; docs/http-caching.md says which and why.
//
// The suite's list for Surrogate-Control is run and shown, but no part of the
// 334 tests and held to nothing: that field is from a note of 2001 and was
// superseded by RFC 9213; the suite has since dropped the list.
//
// A result that is not as expected is looked at in a second run, since the suite's
// lifetimes of two seconds can run out on a busy machine: only what differs in both
// fails the test, and the first run's differences are logged.
package conformance
