package listen

import (
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// Keep-alive finds clients that vanished while nothing is being sent to them:
// after 30 s of silence, three probes 10 s apart.
const (
	keepIdle     = 30
	keepInterval = 10
	keepCount    = 3
)

// prepare sets what accepted sockets inherit from the listening one.
//
// TCP_USER_TIMEOUT bounds how long sent bytes may stay unacknowledged, or wait
// because the client's window is closed; any progress starts it anew. The
// kernel then ends the connection, and the write in progress fails.
//
// Progress is what the client's kernel announces. Once its buffer is full, that
// is room for about a sixteenth of the buffer, not each byte that is read.
func prepare(fd uintptr, progress time.Duration, reuseport bool) error {
	type option struct {
		level, name, value int
		text               string
	}
	options := []option{
		{unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(max(progress.Milliseconds(), 1)), "TCP_USER_TIMEOUT"},
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1, "SO_KEEPALIVE"},
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, keepIdle, "TCP_KEEPIDLE"},
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, keepInterval, "TCP_KEEPINTVL"},
		{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, keepCount, "TCP_KEEPCNT"},
	}
	if reuseport {
		options = append(options, option{unix.SOL_SOCKET, unix.SO_REUSEPORT, 1, "SO_REUSEPORT"})
	}
	for _, o := range options {
		if err := unix.SetsockoptInt(int(fd), o.level, o.name, o.value); err != nil {
			return fmt.Errorf("cannot set %s: %w", o.text, err)
		}
	}
	return nil
}

// Gone reports whether the client has closed its side of c, or the connection is
// broken. It takes no byte from c, does not block, and may be called while others
// read or write. A client that has only shut down its sending side (rare in HTTP)
// counts as gone too: the two cannot be told apart. False for what is no TCP
// connection.
func Gone(c net.Conn) bool {
	t := TCP(c)
	if t == nil {
		return false
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return true
	}
	gone := false
	err = raw.Control(func(fd uintptr) {
		// Unlike a peek, poll sees the end behind bytes that nobody has read yet.
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		for {
			n, err := unix.Poll(p, 0)
			if err == unix.EINTR {
				continue
			}
			gone = err == nil && n > 0 && p[0].Revents&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR|unix.POLLNVAL) != 0
			return
		}
	})
	return gone || err != nil
}
