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

var keepAlive = net.KeepAliveConfig{Enable: true, Idle: keepIdle * time.Second, Interval: keepInterval * time.Second, Count: keepCount}

// prepare sets what accepted sockets inherit from the listening one.
//
// TCP_USER_TIMEOUT bounds how long sent bytes may stay unacknowledged, or wait
// because the client's window is closed; any progress starts it anew. The
// kernel then ends the connection, and the write in progress fails.
//
// Progress is what the client's kernel announces. Once its buffer is full, that
// is room for about a sixteenth of the buffer, not each byte that is read.
func prepare(fd uintptr, progress time.Duration) error {
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
	for _, o := range options {
		if err := unix.SetsockoptInt(int(fd), o.level, o.name, o.value); err != nil {
			return fmt.Errorf("cannot set %s: %w", o.text, err)
		}
	}
	return nil
}

// Look says what the socket under c tells of the client. It takes no byte, does not
// block, and may be called while others read or write.
func Look(c net.Conn) (p Peer) {
	t := TCP(c)
	if t == nil {
		return p
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return Peer{Broken: true}
	}
	err = raw.Control(func(fd uintptr) {
		// Unlike a peek, poll sees the end behind bytes that nobody has read yet.
		fds := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		if n, err := unix.Poll(fds[:], 0); err != nil || n == 0 {
			return // with EINTR the next look sees it
		}
		p.Broken = fds[0].Revents&(unix.POLLHUP|unix.POLLERR|unix.POLLNVAL) != 0
		if p.Ended = fds[0].Revents&unix.POLLRDHUP != 0; p.Ended {
			var one [1]byte
			n, _, err := unix.Recvfrom(int(fd), one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
			p.Unread = err == nil && n > 0
		}
	})
	if err != nil {
		return Peer{Broken: true}
	}
	return p
}
