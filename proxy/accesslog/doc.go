// Package accesslog writes one JSON line for each request.
//
// It guarantees:
//   - Log never waits: not for the disk, not for a lock. Lines go through a
//     ring of bounded length and bounded bytes to one goroutine that writes;
//     when the ring is full the line is dropped, counted, and the log itself
//     says how many were lost;
//   - Log allocates nothing in the steady state and keeps nothing of the Entry;
//   - each line is one valid JSON object in valid UTF-8, whatever the bytes that
//     the client sent;
//   - a write that fails is counted and never fatal; the next line after a cut
//     one begins on a line of its own.
//
// It refuses to rotate files (Reopen is for those who do) and to be durable:
// what was not yet written when the process is killed is lost, at most a flush
// interval's worth.
package accesslog
