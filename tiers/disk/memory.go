package disk

// IndexMemory is the most, in bytes, that the index of a store with the given
// budget takes in memory: its block cache, which holds bloom filters too, and
// the memtables that may wait for being written.
func IndexMemory(size int64) int64 {
	return cacheSize(size) + memTables*memTableSize(size)
}

// memTables is how many memtables there may be before writes stop: what
// indexOptions asks for.
const memTables = 4
