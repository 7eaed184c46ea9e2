package load

import (
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// noFineWait: the kernel is older than 5.11 and has no epoll_pwait2.
var noFineWait atomic.Bool

// epollWait waits with the precision of nanoseconds where the kernel can, which epoll_wait's milliseconds do not have: what
// is sent too late counts as latency.
func epollWait(ep int, events []unix.EpollEvent, timeout time.Duration) (int, error) {
	if timeout <= 0 {
		return unix.EpollWait(ep, events, 0)
	}
	if !noFineWait.Load() {
		ts := unix.NsecToTimespec(int64(timeout))
		n, _, errno := syscall.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(ep), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)),
			uintptr(unsafe.Pointer(&ts)), 0, 0)
		if errno == 0 {
			return int(n), nil
		}
		if errno != unix.ENOSYS {
			return 0, errno
		}
		noFineWait.Store(true)
	}
	// Rounded down: the last part of a millisecond is spent in polling rather than in being late.
	return unix.EpollWait(ep, events, int(timeout/time.Millisecond))
}
