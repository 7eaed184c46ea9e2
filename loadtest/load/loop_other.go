//go:build !linux

package load

// canLoop: this system has no event loop; a goroutine for each connection does its work.
const canLoop = false

func runLoop(*worker, int) { panic("BUG: there is no event loop on this system") }
