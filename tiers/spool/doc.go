// Package spool bounds the memory that bodies take while they are on their way.
//
// A Budget counts bytes of bodies in flight. What finds no room in it goes to a
// Spool, a file of bounded size that has no name, or waits. A Loan is a body in
// memory that readers of any speed share: it counts once nothing else accounts for
// it, and it can be moved to the spool while it is being read.
//
// What it guarantees:
//   - a File hands out the bytes that were appended to it, or an error: a block is
//     used again only when nobody reads or writes it;
//   - no call waits for the device longer than a few seconds: a device that does not
//     answer is left alone until it does;
//   - its file has no name, so that nothing is left behind by a process that was killed.
//
// What it refuses: a File larger than a sixteenth of the spool, so that one body
// cannot take it from all others.
package spool
