// Package disk is a store of opaque records on one local disk: append-only segment files for the bytes, a Pebble
// database for the index. It knows nothing of HTTP: a record is a 16-byte hash, a key text, metadata and a body.
//
// # What it guarantees
//
//   - No wrong byte. Headers, metadata and bodies carry CRC-32C and are checked on every read, before a byte leaves the
//     package. The key text is compared, so a hash collision is a miss. Damage is a miss, counted, and drops the entry.
//   - A Put, Commit, UpdateMeta or Delete that returned nil has reached the kernel: kill -9 of the process loses none of
//     them. A power cut loses what the kernel had not written; sealed segments are synced.
//   - Disk use stays within the budget: eviction frees the oldest segment as a whole, in the background. A put waits for
//     it only at the hard ceiling (budget plus one segment), and no longer than Options.ReadTimeout; then it fails with
//     ErrFull.
//   - What is promised to a class of objects (Class) stays: its fresh objects survive eviction up to its reservation, and
//     all of a pinned class does until it is stale.
//   - Index trouble is never fatal. The index can always be rebuilt from the segments, newest record first, so that
//     whatever is found during a rebuild is already final.
//   - A device that stalls costs nobody more than Options.ReadTimeout, and no pile of goroutines: what would wait longer
//     is ErrSlow, a miss.
//   - Device trouble is never fatal: puts answer ErrOffline until a probe write succeeds again.
//
// # What it refuses
//
// It does not wait for fsync on a put, does not repair a damaged record, never reuses a segment number, and never reads
// a segment of a version it does not know.
//
// # Order
//
// The position of a record, (segment, offset), is the order of writes: for one hash the record at the highest position
// wins, in the index, in a replay and in a rebuild. Writers of one hash hold the same stripe lock from the moment the
// position is reserved until the index shows it, so both orders agree. Deletes are tombstone records. Because segments
// die oldest first, a tombstone always outlives what it deletes.
//
// # Format, version 1
//
// All integers are little endian. All checksums are CRC-32C (Castagnoli). Offsets of records are multiples of 8.
//
//	segment file "segments/%010d.seg"
//	+----------------+--------+-----+--------+-- zeros --+--------+---------+
//	| segment header | record | ... | record |  to 8 B   | footer | trailer |
//	+----------------+--------+-----+--------+-----------+--------+---------+
//
//	segment header, 64 bytes                        trailer, 48 bytes, the last of the file
//	 0  8  magic "WEIRSEG\x00"                        0  8  magic "WEIRFTR\x00"
//	 8  4  format version (1)                        8  4  format version (1)
//	12  4  segment number                           12  4  segment number
//	16  8  salt (random, secret)                    16  8  salt, as in the segment header
//	24  8  created, unix ms                         24  8  offset of the footer
//	32 16  store id                                 32  4  number of footer entries
//	48 12  zero                                     36  4  CRC of the footer
//	60  4  CRC of bytes 0..59                       40  4  zero
//	                                                44  4  CRC of bytes 0..43
//
//	record: header 88 bytes, then key, metadata, body, zeros to a multiple of 8
//	 0  4  magic "WREC"
//	 4  1  type: 1 object, 2 head, 3 chunk, 4 tombstone
//	 5  1  class (a number that CLASSES gives a name; 0: none)
//	 6  2  header length (88)
//	 8  8  salt of the segment
//	16 16  hash
//	32  4  key length          36  4  metadata length      40  4  body length
//	44  4  CRC of key and metadata                          48  4  CRC of body
//	52  4  ordinal: the record's number within the segment
//	56  8  expiry, unix ms     64  8  stored, unix ms
//	72  8  object, head: size of the whole body; chunk: its offset in the body
//	80  4  zero
//	84  4  CRC of (segment number, offset, bytes 0..83): a header is valid only in its place
//
//	body of a head record: extents of 24 bytes, all of one length but the last, which may be shorter
//	 0  4  segment   4  4  CRC of the extent's bytes   8  8  offset in the file   16  4  length   20  4  zero
//
//	footer entry, 48 bytes, one for each ordinal
//	 0 16  hash
//	16  4  offset / 8   20  4  record length   24  4  header CRC   28  4  expiry, unix s
//	32  4  oldest segment that the object needs
//	36  1  type (0: void, never written)   37  1  class   38  2  zero
//	40  8  bytes on disk of the whole object
//
//	index value, 40 bytes, under the key 'o' hash
//	 0  1  version (1)   1  1  type   2  1  class   3  1  zero
//	 4  4  segment   8  4  offset / 8   12  4  record length   16  4  header CRC   20  4  ordinal
//	24  4  expiry, unix s   28  4  oldest segment needed   32  8  bytes on disk of the whole object; 1 in a tombstone
//	                                                              that stands in the index only
//
// An object is one record with its body inside. A head lists extents: the bodies of chunk records, or, after a metadata
// refresh, the body of the object record it refreshes. The salt is what keeps a body that imitates a record from being
// taken for one when a damaged segment is searched for the next record.
package disk
