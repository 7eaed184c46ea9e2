package disk

import "errors"

var (
	// ErrNotFound: nothing is stored under this hash and key.
	ErrNotFound = errors.New("disk: not found")
	// ErrCorrupt: what was stored did not pass its checks; the entry is gone now. Treat it as a miss.
	ErrCorrupt = errors.New("disk: stored bytes are damaged")
	// ErrOffline: the store is switched off by a device or index fault and will try to come back by itself.
	ErrOffline = errors.New("disk: offline")
	// ErrVanished: the directory that was opened is no longer there; wrapped in ErrOffline. See Store.Vanished.
	ErrVanished = errors.New("disk: the directory is gone")
	// ErrFull: the hard ceiling is reached and eviction did not catch up in time. Nothing was stored.
	ErrFull = errors.New("disk: full")
	// ErrPinnedFull: the class is pinned, and what it holds already takes all the room that it has. Nothing was stored.
	ErrPinnedFull = errors.New("disk: no more room for pinned objects")
	// ErrSlow: the device did not answer within Options.ReadTimeout. Treat it as a miss.
	ErrSlow = errors.New("disk: slow")
	// ErrTooLarge: the object, its key or its metadata can never fit this store.
	ErrTooLarge = errors.New("disk: too large")
	// ErrEvicted: a segment with an early chunk of this object was evicted before the object was committed.
	ErrEvicted = errors.New("disk: evicted while being written")
	// ErrLocked: another process, or another Store, has the directory open.
	ErrLocked = errors.New("disk: directory is in use by another process")
	// ErrClosed: the store or the writer is closed.
	ErrClosed = errors.New("disk: closed")
)
