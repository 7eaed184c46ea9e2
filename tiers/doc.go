// Package tiers keeps stored responses: in RAM (ristretto behind a small
// golang-lru window), on disk (package disk), and, while a body still arrives,
// in a Fill that any number of readers follow.
//
// Guaranteed: an Object is immutable once it is published, so the bytes a
// reader was handed never change under it. A Put is visible to the next Get, and
// what it replaced is not seen again, nor what Delete removed, in either tier. RAM
// stays within its size. A 304 renews only the body that it was about.
// What comes back from disk was verified by checksum and belongs to the key
// text it was asked for; a damaged, torn or foreign record is a miss. Memory
// for a body that arrives is bounded by the RAM tier's largest object, however
// long the body is and however slow its readers are. What Publish and Refresh put in
// RAM reaches the disk behind them, within milliseconds; until then a lookup finds it
// in memory, whatever RAM forgets, and a stop waits for it. A crash may lose it, and
// leave what was on disk before, which is held against purges like all that is there.
//
// Refused: deciding anything about HTTP. Whether and for how long something is
// kept is package policy's business; tiers only remembers.
//
// # Life of an object
//
//	fill      a Fill gathers the body; readers follow; nothing is visible to Get
//	commit    the body is proven complete; the object is published in RAM and on disk
//	hit       Get hands it out; bytes are shared, never copied, never changed
//	refresh   a 304 publishes a new Object that shares the old one's body
//	leave     evicted, replaced or deleted; readers that hold it go on undisturbed
package tiers
