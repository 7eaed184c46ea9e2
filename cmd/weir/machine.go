package main

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"weir/configs"
)

// thisMachine is what the tiers of a configuration have to fit into; root is the
// root of the file system that says how much memory there is.
func thisMachine(root fs.FS) configs.Machine {
	m := configs.Machine{Memory: memTotal(root), MemoryOf: "this machine", Space: spaceOf}
	if c := cgroupLimit(root); c > 0 && (m.Memory == 0 || c < m.Memory) {
		m.Memory, m.MemoryOf = c, "this process's control group"
	}
	return m
}

// machinePatience is how long a start looks at the machine: a file system that does
// not answer keeps nobody waiting.
const machinePatience = 200 * time.Millisecond

// warnMachine prints to w what of cfg this machine has no room for.
func warnMachine(cfg *configs.Config, w io.Writer) {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) == nil {
		if warning := fewFiles(cfg, limit.Cur); warning != "" {
			fmt.Fprintln(w, "warning:", warning)
		}
	}
	found := make(chan configs.Faults, 1)
	go func() { found <- configs.CheckMachine(cfg, thisMachine(os.DirFS("/"))) }()
	t := time.NewTimer(machinePatience)
	defer t.Stop()
	select {
	case faults := <-found:
		for _, f := range faults {
			fmt.Fprintln(w, "warning:", f)
		}
	case <-t.C:
		fmt.Fprintln(w, "warning: the file system of tiers.disk.path does not answer; whether it has room for the tier was not looked at")
	}
}

// filesBeside is how many descriptors are needed beside those of clients: of origins
// as many as fit are used, of the disk tier one for each segment and some.
const filesBeside = 256

// fewFiles says, when it is so, that limits.connections is above what a process with
// this limit of open files can have. The runtime has raised the soft limit to the hard
// one before.
func fewFiles(cfg *configs.Config, limit uint64) string {
	need := uint64(cfg.Limits.Connections) + filesBeside
	if d := cfg.Tiers.Disk; d != nil {
		need += 1024
	}
	if limit >= need {
		return ""
	}
	return fmt.Sprintf("limits.connections: %d connections and the files beside them need %d descriptors, and this process may have %d "+
		"(raise LimitNOFILE= of the service, or ulimit -n, to %d or more: each connection may have one to an origin as well; or lower limits.connections)",
		cfg.Limits.Connections, need, limit, need+uint64(cfg.Limits.Connections))
}

// memTotal is the memory of the machine in bytes, or 0 when it is unknown.
func memTotal(root fs.FS) int64 {
	f, err := root.Open("proc/meminfo")
	if err != nil {
		return 0
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), "MemTotal:"); ok {
			n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			if err != nil {
				return 0
			}
			return n << 10
		}
	}
	return 0
}

// spaceOf looks at the file system of a directory, or of the nearest one above
// it that exists.
func spaceOf(dir string) (s configs.Space, err error) {
	at, err := filepath.Abs(dir)
	if err != nil {
		return s, err
	}
	for {
		if _, err = os.Stat(at); err == nil || at == filepath.Dir(at) {
			break
		}
		at = filepath.Dir(at)
	}
	var st unix.Statfs_t
	if err = unix.Statfs(at, &st); err != nil {
		return s, err
	}
	s.Total, s.Free = int64(st.Blocks)*int64(st.Bsize), int64(st.Bavail)*int64(st.Bsize)
	s.Used = usedBy(dir)
	return s, nil
}

// usedBy is what the files of a disk tier take, in bytes. It looks at a bounded
// number of them, far more than a tier has.
func usedBy(dir string) (total int64) {
	left := 100_000
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if left--; left < 0 {
			return filepath.SkipAll
		}
		if err != nil || !e.Type().IsRegular() {
			return nil // what cannot be looked at counts as nothing
		}
		// A file that is gone by now was evicted.
		if info, err := e.Info(); err == nil {
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				total += st.Blocks * 512
			}
		}
		return nil
	})
	return total
}
