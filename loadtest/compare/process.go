package compare

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of times in /proc/PID/stat: USER_HZ is 100 on every Linux
// that Go runs on.
const tick = 10 * time.Millisecond

// procStat is what is used of /proc/PID/stat (proc(5)).
type procStat struct {
	pid, parent int
	// cpu is user and system time, that of children that ended and were waited
	// for included: their time moves there, so that a sum never falls.
	cpu time.Duration
}

// parseStat reads one line. The name in parentheses may hold anything, spaces
// and parentheses too.
func parseStat(line string) (procStat, error) {
	open, end := strings.IndexByte(line, '('), strings.LastIndexByte(line, ')')
	if open < 1 || end < open {
		return procStat{}, fmt.Errorf("cannot read %q: no name in parentheses", line)
	}
	fields := strings.Fields(line[end+1:])
	if len(fields) < 15 {
		return procStat{}, fmt.Errorf("cannot read %q: %d fields after the name", line, len(fields))
	}
	var s procStat
	var err error
	if s.pid, err = strconv.Atoi(strings.TrimSpace(line[:open])); err != nil {
		return s, fmt.Errorf("cannot read %q: %w", line, err)
	}
	if s.parent, err = strconv.Atoi(fields[1]); err != nil {
		return s, fmt.Errorf("cannot read %q: %w", line, err)
	}
	for _, f := range fields[11:15] { // utime, stime, cutime, cstime
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return s, fmt.Errorf("cannot read %q: %w", line, err)
		}
		s.cpu += time.Duration(n) * tick
	}
	return s, nil
}

// tree returns the process root and all below it. Processes that end while
// they are looked at are left out.
func tree(root int) ([]procStat, error) {
	names, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	byParent := make(map[int][]procStat)
	var found []procStat
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		s, err := parseStat(string(b))
		if err != nil {
			return nil, err
		}
		if s.pid == root {
			found = append(found, s)
		}
		byParent[s.parent] = append(byParent[s.parent], s)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("process %d is gone", root)
	}
	for i := 0; i < len(found); i++ {
		found = append(found, byParent[found[i].pid]...)
	}
	return found, nil
}

// cpuOf sums the CPU time of a process and all below it.
func cpuOf(root int) (time.Duration, error) {
	all, err := tree(root)
	var sum time.Duration
	for _, s := range all {
		sum += s.cpu
	}
	return sum, err
}

// memoryOf sums the resident memory of a process and all below it, in bytes,
// with what they share counted once (Pss). Of a process that keeps others from
// looking (Traffic Server does, prctl(2) PR_SET_DUMPABLE) it is all that is
// resident.
func memoryOf(root int) (int64, error) {
	all, err := tree(root)
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, s := range all {
		kib, err := fieldOf(s.pid, "smaps_rollup", "Pss:")
		if err != nil {
			kib, err = fieldOf(s.pid, "status", "VmRSS:")
		}
		if err != nil && s.pid == root {
			return 0, err
		}
		// Another that cannot be read has ended meanwhile and holds nothing.
		sum += kib << 10
	}
	return sum, nil
}

// peakOf is the most that process pid alone has had resident, in bytes.
func peakOf(pid int) (int64, error) {
	kib, err := fieldOf(pid, "status", "VmHWM:")
	return kib << 10, err
}

// fieldOf reads one number of a file of a process.
func fieldOf(pid int, file, name string) (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
	if err != nil {
		return 0, fmt.Errorf("cannot read the memory of process %d: %w", pid, err)
	}
	return field(string(b), name)
}

// field finds the number behind a name at the start of a line.
func field(text, name string) (int64, error) {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			if fields := strings.Fields(rest); len(fields) > 0 {
				return strconv.ParseInt(fields[0], 10, 64)
			}
		}
	}
	return 0, fmt.Errorf("cannot find %s", name)
}

// coreBusy is the time that the cores were not idle since the machine started,
// time stolen by the host of a virtual machine included.
func coreBusy(cores []int) (time.Duration, error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	return parseBusy(string(b), cores)
}

func parseBusy(text string, cores []int) (time.Duration, error) {
	var sum time.Duration
	for _, core := range cores {
		name := "cpu" + strconv.Itoa(core) + " "
		at := strings.Index("\n"+text, "\n"+name)
		if at < 0 {
			return 0, fmt.Errorf("cannot find core %d in /proc/stat", core)
		}
		line, _, _ := strings.Cut(text[at+len(name):], "\n")
		// user nice system idle iowait irq softirq steal guest guest_nice; guest is part of user.
		for i, f := range strings.Fields(line) {
			if i == 3 || i == 4 || i > 7 {
				continue
			}
			n, err := strconv.ParseInt(f, 10, 64)
			if err != nil {
				return 0, fmt.Errorf("cannot read %q: %w", line, err)
			}
			sum += time.Duration(n) * tick
		}
	}
	return sum, nil
}
