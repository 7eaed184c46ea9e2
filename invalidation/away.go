package invalidation

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"
)

// A purge that cannot be written to the log is in effect all the same: refusing it
// would leave stale what somebody wants gone, and close the gate of a node with
// peers. Then the log is behind. What is stored on disk stays usable, since this
// process knows every purge; but no other may use it with a log that lacks some.
// So the mark beside it is removed before the purge is acknowledged, and written
// again with the log: a process that dies in between leaves a disk tier that the
// next one takes for invalid.

// LogState is how the log of purges stands.
type LogState uint8

const (
	// LogMemory: there is none, and nothing on disk that it would concern.
	LogMemory LogState = iota
	// LogOpening: it is not attached yet; purges are in effect in memory.
	LogOpening
	// LogWritten: every purge that was acknowledged is in it.
	LogWritten
	// LogBehind: it cannot be written; purges are in effect in memory.
	LogBehind

	logStates
)

// String is the state's name in /v1/status.
func (s LogState) String() string {
	return [logStates]string{LogMemory: "memory", LogOpening: "opening", LogWritten: "written", LogBehind: "behind"}[s]
}

// LogState returns how the log stands.
func (n *Node) LogState() LogState { return LogState(n.logState.Load()) }

const (
	// devicePatience is how long a purge waits for the device; longer than a sync
	// takes on a busy one.
	devicePatience = 3 * time.Second
	// markPatience is how long a purge waits for the removal of the mark. One that
	// takes longer is in the kernel, which does it when the device comes back, even
	// when the process was killed meanwhile.
	markPatience = time.Second
	// retryEvery is how often a log that cannot be written is tried again.
	retryEvery = time.Second
	// maxUnlogged bounds the purges that are kept to be written later, in bytes.
	// Beyond it the log gets their effect, and peers that ask for them invalidate
	// everything.
	maxUnlogged = 16 << 20
)

// away is what a log lacks that is behind or not attached. All but count and mark
// is the writer's own.
type away struct {
	purges []Purge
	bytes  int
	lost   bool // there were too many, or something other than purges happened
	// unmarked: the mark was removed, or is being removed.
	unmarked bool
	// unsure: a write was given up, and may have come to pass.
	unsure bool
	cause  error
	count  atomic.Int64
	// mark is what the mark said before it was removed.
	mark atomic.Pointer[[]byte]
}

// errSlow: the device did not answer in time.
var errSlow = errors.New("the device does not answer")

// device does what may wait for the device in another goroutine, for a bounded
// time. While something that was given up is still there, nothing else is begun.
// Only the writer uses it.
type device struct {
	patience time.Duration
	pending  chan error // of what was given up
}

func (d *device) do(fn func() error) error {
	if d.stuck() {
		return errSlow
	}
	done := make(chan error, 1)
	go func() { done <- fn() }()
	t := time.NewTimer(d.patience)
	defer t.Stop()
	select {
	case err := <-done:
		return err
	case <-t.C:
		d.pending = done
		return fmt.Errorf("%w for %v", errSlow, d.patience)
	}
}

// stuck reports whether something that was given up is still under way.
func (d *device) stuck() bool {
	if d.pending == nil {
		return false
	}
	select {
	case <-d.pending:
		d.pending = nil
		return false
	default:
		return true
	}
}

// isFull reports whether err says that the device has no room, for bytes or for
// files.
func isFull(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// log writes purges to the log and reports whether they are there. Otherwise they
// are kept, and what is on disk is given up should this process end before they
// can be written.
func (n *Node) log(purges []Purge) bool {
	if len(purges) == 0 || n.LogState() == LogMemory {
		return true
	}
	if n.LogState() == LogWritten {
		err := n.write(purges)
		if err == nil {
			return true
		}
		n.fallBehind(err)
	}
	n.owe(purges)
	n.unmark()
	return false
}

// write appends the purges, after making room where the device has none.
func (n *Node) write(purges []Purge) error {
	err := n.writeOnce(purges)
	for tries := 0; tries < 3 && isFull(err) && n.o.MakeRoom(); tries++ {
		err = n.writeOnce(purges)
	}
	return err
}

func (n *Node) writeOnce(purges []Purge) error {
	if n.device.stuck() {
		return errSlow
	}
	file := n.file
	var records []byte
	offsets := make([]int64, len(purges))
	for i := range purges {
		offsets[i] = int64(len(records))
		records = purges[i].append(records)
	}
	if file.broken != nil || file.size-file.base+int64(len(records)) > n.o.MaxLog {
		if err := n.replaceLog(file.keep(len(records), n.o.MaxLog), nil); err != nil {
			return err
		}
	}
	return n.device.do(func() error { return file.append(records, purges, offsets) })
}

// fallBehind notes that the log cannot be written.
func (n *Node) fallBehind(cause error) {
	n.logState.Store(uint32(LogBehind))
	n.away.cause = cause
	n.away.unsure = n.away.unsure || errors.Is(cause, errSlow)
	n.o.Log.Error("the log of purges cannot be written; purges are in effect in memory, and what is on disk is given up if weir stops before they can be logged", "error", cause)
}

// owe keeps purges that the log lacks.
func (n *Node) owe(purges []Purge) {
	a := &n.away
	for _, p := range purges {
		a.bytes += p.Size()
		a.purges = append(a.purges, p)
	}
	a.count.Add(int64(len(purges)))
	if a.bytes > maxUnlogged {
		a.purges, a.bytes, a.lost = nil, 0, true
	}
}

// unmark removes the mark, so that nothing that is on disk is used with a log that
// lacks a purge.
func (n *Node) unmark() {
	a := &n.away
	if a.unmarked || n.o.Mark == "" {
		return
	}
	a.unmarked = true
	done := make(chan error, 1)
	go func() {
		b, err := os.ReadFile(n.o.Mark)
		if err == nil {
			a.mark.Store(&b)
			err = os.Remove(n.o.Mark)
		}
		if err == nil {
			err = syncDir(filepath.Dir(n.o.Mark))
		}
		done <- err
	}()
	t := time.NewTimer(min(markPatience, n.o.patience))
	defer t.Stop()
	select {
	case err := <-done:
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			n.o.Log.Error("a purge is in effect in memory only, and nothing can be written that would say so after a restart: "+
				"purge again then, or empty the directory of the disk tier", "error", err)
		}
	case <-t.C:
	}
}

// restore tries to bring the log up to date. The writer calls it at times.
func (n *Node) restore() {
	if n.LogState() != LogBehind || n.device.stuck() {
		return
	}
	if err := n.catchUpLog(); err != nil {
		n.o.Log.Debug("the log of purges still cannot be written", "error", err)
		return
	}
	n.o.Log.Info("the log of purges is written again", "purges", n.away.count.Load())
	n.settled()
}

// settled notes that the log lacks nothing.
func (n *Node) settled() {
	a := &n.away
	a.purges, a.bytes, a.lost, a.unmarked, a.unsure, a.cause = nil, 0, false, false, false, nil
	a.count.Store(0)
	a.mark.Store(nil)
	n.logState.Store(uint32(LogWritten))
}

// catchUpLog writes what the log lacks, and then the mark.
func (n *Node) catchUpLog() error {
	a, file := &n.away, n.file
	var err error
	switch {
	case a.lost:
		err = n.replaceLog(file.size, nil)
	case file.broken != nil || file.f == nil || a.unsure:
		if err = n.replaceLog(file.keep(a.bytes, n.o.MaxLog), a.purges); err != nil && !isFull(err) && !errors.Is(err, errSlow) {
			// The old file may be gone, or not be readable any more.
			err = n.replaceLog(file.size, nil)
		}
	case len(a.purges) > 0:
		err = n.write(a.purges)
	}
	if err != nil {
		return err
	}
	return n.device.do(n.writeMark)
}

// look notices that the log was removed, or its directory.
func (n *Node) look() {
	if n.LogState() != LogWritten || n.device.stuck() {
		return
	}
	if err := n.device.do(n.file.there); err != nil && !errors.Is(err, errSlow) {
		n.file.broken = err
		n.fallBehind(err)
	}
}

// closeLog ends the use of the log. The writer has ended.
func (n *Node) closeLog() error {
	if n.device.stuck() {
		return fmt.Errorf("%w: purges that were not acknowledged may be missing in the log", errSlow)
	}
	n.mu.Lock()
	file := n.file
	n.mu.Unlock()
	if file == nil {
		return nil
	}
	return file.close()
}
