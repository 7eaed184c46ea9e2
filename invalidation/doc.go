// Package invalidation holds what was purged, as facts, and tells of a stored
// object whether it may still be used.
//
// A fact is a URL, a tag (everywhere, or on one host), a prefix, a host or
// everything, hard or soft. Applying
// one gives it the next number of the node's own epoch counter. An object
// remembers the epoch at which its fetch began, and is valid while no fact that
// touches it is younger. So a purge costs the same for one object and for ten
// million, covers all variants and both tiers at once, and always wins against a
// fetch that began before it; no clock is asked.
//
// # What it guarantees
//
//   - Once Purge has returned, no Check of an object whose fetch began before
//     answers Valid.
//   - A Check costs one compare while nothing was purged since the object was
//     last checked, and a few lookups once after. It takes no global lock and
//     allocates nothing.
//   - With a directory, a purge that was acknowledged has been synced to the
//     log, and is there after kill -9 and after a power cut. Where the log cannot
//     be written, or is not attached yet, it is in effect in memory, and what is
//     on disk is given up before the acknowledgement, should the process end
//     before the log is whole again.
//   - Memory is bounded: beyond Options.MaxScopes the floor rises, and whatever
//     was fetched before it is invalid. That is more than was asked for, never
//     less.
//   - A log that is lost, damaged or older than what is on disk gets a new
//     incarnation; what was stored under another one is invalid.
//
// # What it refuses
//
// It keeps no list of objects and cannot say how many a purge concerns. It does
// not wait for space to come back: what is invalid goes when somebody asks for
// it, or with its segment.
//
// # Order
//
// Apply writes the effects first and then raises the epoch. Whoever reads an
// epoch therefore finds every effect up to it, and a fetch that reads the epoch
// a moment too early is merely invalid.
//
// # Peers
//
// Every purge has an ID: node, incarnation of that node's log, number. A node logs
// the purges of all nodes and applies each origin's in order and without gaps, so
// a vector of positions says exactly what it has, and it can give others what
// they lack. Apply, Read, Adopt and Renew are what package bus needs for that.
// Gate keeps what is stored from being used while a node cannot know what was
// purged.
//
// # Log, version 2
//
// One file, "log", appended and synced in groups. All integers are little
// endian. Each record is a length (4 bytes, of the payload), a CRC-32C of the
// payload (4), a CRC-32C of those 8 bytes (4), and the payload, which begins with
// its type.
//
//	1 header     version 2 (1), incarnation (8)
//	2 session    nonce (16): the log was opened
//	3 purge      epoch (8), node (1+n), incarnation of that node (8), number (8),
//	             unix ms (8), facts (2), each: kind (1), soft (1), scope (2+n)
//	4 state      epoch (8), floor (8), hard all (8), soft all (8), its time (8)
//	5 cells      up to 4096 cells: hash (8), hard (8), soft (8), its time (8)
//	6 prefixes   lengths (2) by form (1): how long the prefixes are
//	7 position   node (1+n), incarnation (8), highest number applied (8)
//
// Kind 6, a tag on one host, came later than the others. A release that does not
// know it cannot use such a log, which invalidates what is stored, and
// cannot read such a purge of a peer, so that its gate stays closed: more is
// invalid than need be, never less.
//
// A file that ends within a record ends there: the process died before the
// purge was acknowledged. Any other damage makes the log useless. Beyond its bound
// it is written anew: a snapshot of everything in memory, then the younger half
// of the purges.
package invalidation
