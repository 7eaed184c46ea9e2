package main

import (
	"log/slog"
	"math"
	"os"
	"runtime/debug"
	"strconv"
	"strings"

	"weir/configs"
)

// setMemoryLimit tells the garbage collector how much the process may take, so
// that RSS stays near what the operator configured: cached bodies are garbage
// once they are evicted, and by default the heap would grow to twice its live
// size before they are collected. GOMEMLIMIT, where it is set, wins.
func setMemoryLimit(cfg *configs.Config, log *slog.Logger) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	limit := memoryLimit(cfg)
	if c := cgroupLimit(); c > 0 && limit > c/10*9 {
		if ram := cfg.Tiers.RAM.Size; ram > c/10*7 {
			log.Warn("tiers.ram.size leaves too little of this container's memory",
				"ram", ram, "container", c, "advice", "at most 70 % of it")
		}
		limit = c / 10 * 9
	}
	debug.SetMemoryLimit(limit)
}

// memoryLimit is the RAM tier and a quarter for the collector to breathe, what
// the process needs without any object, and what the disk tier's index takes.
func memoryLimit(cfg *configs.Config) int64 {
	const base = 64 << 20
	limit := cfg.Tiers.RAM.Size + cfg.Tiers.RAM.Size/4 + base
	if cfg.Tiers.Disk != nil {
		limit += 64 << 20
	}
	return limit
}

// cgroupLimit is the memory limit of this process's control group, version 2 or
// 1, in bytes; 0 when there is none.
func cgroupLimit() int64 {
	for _, path := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		b, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		v, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
		if err == nil && v > 0 && v < math.MaxInt64/2 {
			return v
		}
	}
	return 0
}
