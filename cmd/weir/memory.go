package main

import (
	"io/fs"
	"math"
	"os"
	"path"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"weir/configs"
	"weir/tiers/disk"
)

// setMemoryLimit tells the garbage collector how much the process may take, so
// that RSS stays near what the operator configured: cached bodies are garbage
// once they are evicted, and by default the heap would grow to twice its live
// size before they are collected. GOMEMLIMIT, where it is set, wins.
func setMemoryLimit(cfg *configs.Config) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	limit := memoryLimit(cfg)
	if c := cgroupLimit(os.DirFS("/")); c > 0 && limit > c/10*9 {
		limit = c / 10 * 9
	}
	debug.SetMemoryLimit(limit)
}

// memoryLimit is the RAM tier, room for the collector to breathe, what the process
// needs without any object, bodies on their way, and what the disk tier takes: its index, which grows
// with its size up to a bound, and the buffers of what is written.
//
// The room is a quarter of the tier. A small tier has up to 128 MiB, half of its
// size at most: how often the collector runs follows from the room, and what it
// does then from the tier, while misses come as fast as for a large one.
func memoryLimit(cfg *configs.Config) int64 {
	const base, diskBuffers = 64 << 20, 32 << 20
	ram := cfg.Tiers.RAM.Size
	limit := ram + max(ram/4, min(ram/2, 128<<20)) + base + cfg.Limits.MemoryInFlight
	if d := cfg.Tiers.Disk; d != nil {
		limit += disk.IndexMemory(d.Size) + diskBuffers
	}
	return limit
}

// cgroupLimit is the least memory, in bytes, that a control group (version 2 or
// 1) around this process allows it; 0 when none sets a limit. root is the root
// of the file system.
//
// The process's own group is looked up since the limit of a service manager
// (MemoryMax= in systemd) stands there, and all groups above it since each may
// be narrower. In a container the path may be that of the host, which the
// container does not see: then only the root is found, which is its own group.
func cgroupLimit(root fs.FS) int64 {
	b, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		b = []byte("0::/\n1:memory:/\n") // no /proc: the roots are all that can be asked
	}
	var least int64
	for line := range strings.Lines(string(b)) {
		// hierarchy:controllers:path, see cgroups(7); the path may hold colons.
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(parts) != 3 {
			continue
		}
		mount, files := "sys/fs/cgroup", []string{"memory.max", "memory.high"}
		if parts[0] != "0" || parts[1] != "" {
			if !slices.Contains(strings.Split(parts[1], ","), "memory") {
				continue
			}
			mount, files = "sys/fs/cgroup/memory", []string{"memory.limit_in_bytes"}
		}
		// Cleaned, since a group outside of the namespace reads as /../other.
		for dir := path.Clean("/" + parts[2]); ; dir = path.Dir(dir) {
			for _, file := range files {
				if v := groupLimit(root, path.Join(mount, dir, file)); v > 0 && (least == 0 || v < least) {
					least = v
				}
			}
			if dir == "/" {
				break
			}
		}
	}
	return least
}

// groupLimit reads one limit; 0 stands for none: no such file, "max", or the
// huge number that version 1 has for it.
func groupLimit(root fs.FS, name string) int64 {
	b, err := fs.ReadFile(root, name)
	if err != nil {
		return 0
	}
	v, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	if err != nil || v <= 0 || v >= math.MaxInt64/2 {
		return 0
	}
	return v
}
