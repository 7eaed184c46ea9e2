package compare

import (
	"io/fs"
	"syscall"
)

// blocks is what a file takes, in bytes; less than its size where it has holes.
func blocks(info fs.FileInfo) int64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return s.Blocks * 512
	}
	return info.Size()
}
