// Package bus carries purges between the nodes of a cluster and says which node
// has applied which.
//
// # What it guarantees
//
//   - A purge that a node has acknowledged reaches every peer that can be reached,
//     however often links break and processes stop: whatever a message loses, the
//     vectors in the next probe show, and it is fetched from any peer that has it.
//   - Wait returns when every peer has said that the purge is in effect there, and
//     names those that have not.
//   - A node that starts, was stopped, or finds purges missing closes its gate
//     (invalidation.Gate) and opens it when it has caught up with every peer that
//     it can reach. Until then nothing stored is used unconfirmed.
//   - With Revalidate, a node whose probes are not answered by a quorum closes its
//     gate no later than one lease after it sent the last probe that was. So, one
//     lease after a quorum has applied a purge, no node serves what it concerns:
//     whoever serves has heard from a quorum since, and two quorums have a node in
//     common. A node whose disk was wiped has forgotten, and no longer counts to
//     those that have applied it.
//   - Memory is bounded, whatever peers send. What is malformed, too large, or not
//     signed with this cluster's secret is dropped and counted.
//
// # What it refuses
//
// It elects no leader and needs no majority to take a purge: one node alone takes
// purges and passes them on when it hears from others. It orders nothing between
// nodes, since facts commute. It keeps no clock in common with anybody.
//
// # Protocol
//
// Every quarter of a lease a node broadcasts a probe: a nonce and its vector. Every
// other node answers with the nonce and its own vector. An answer proves that its
// sender knew nothing beyond that vector at a moment after the probe was sent;
// once all of it is applied here, the peer is confirmed as of the sending of the
// probe. Leases are counted from there, never from when an answer arrived: an
// answer may have waited in a buffer while the process was stopped.
//
//	probe    nonce, vector        broadcast, every quarter of a lease
//	reply    nonce, vector        to the prober
//	facts    purges               broadcast by the node that took them
//	ack      origin, number       to the node that took them, once in effect
//	fetch    nonce, origin, after to a peer that is further
//	chunk    nonce, purges        its answer; or that the log no longer has them
//	leave                         broadcast by a node that stops
//
// A peer's vector that is further than what was received here means that messages
// were lost. Purges of the peer's own come before its vector on the same connection,
// so their absence closes the gate at once. Those of a third node may still be under
// way on another connection: they are fetched at once, and close the gate when they
// are missing for longer than 100 ms.
//
// When a peer's log no longer has what is missing, or this node's log was begun at
// this start and so nothing stored is valid anyway, everything fetched before is
// invalidated and the peer's vector is taken over. When a peer knows of more purges
// of this node than it does itself, its log is older than what it has acknowledged:
// it begins a new incarnation, and everything fetched before is invalid.
package bus
