// Package chaos lets random faults over a running weir and checks all the time what must hold whatever happens. `make
// chaos` starts it.
//
// It starts an origin whose bodies prove themselves (packages selfcheck and loadorigin), a weir process in front of it,
// and clients that never pause: readers, visitors with cookies, purgers with several tokens, and probes of what is
// stored. Then it goes through rounds. A round draws one to four faults of the list in faults.go, holds each of them
// for seconds, ends them, waits until weir is quiet, and checks that everything is back where it was.
//
// The seed alone decides on the rounds, their faults, and the parameters of each, so that a finding can be looked for
// again with --seed; how the clients' requests interleave is decided by the machine.
//
// The package knows of weir only what a user knows: the program, its configuration, its ports, and what /proc says of
// a process.
package chaos
