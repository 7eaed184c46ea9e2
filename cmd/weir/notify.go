package main

import (
	"cmp"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// notifier tells systemd what the process is doing (sd_notify(3)), where the unit
// says Type=notify. Its protocol is a line and a socket, which needs no library.
type notifier struct {
	conn *net.UnixConn // nil: nobody wants to know
	log  *slog.Logger
	// every is how often systemd wants a sign of life; 0: never.
	every time.Duration
}

// newNotifier reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, and removes them,
// so that no program that this one starts speaks for it.
func newNotifier() *notifier {
	n := &notifier{log: slog.Default()}
	path, watchdog, pid := os.Getenv("NOTIFY_SOCKET"), os.Getenv("WATCHDOG_USEC"), os.Getenv("WATCHDOG_PID")
	for _, name := range []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} {
		_ = os.Unsetenv(name) // it fails for names that are none
	}
	if path == "" {
		return n
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		n.log.Warn("cannot tell the service manager anything", "socket", path, "error", err)
		return n
	}
	n.conn = conn
	self := strconv.Itoa(os.Getpid())
	if us, err := strconv.ParseInt(watchdog, 10, 64); err == nil && us > 0 && cmp.Or(pid, self) == self {
		n.every = time.Duration(us) * time.Microsecond
	}
	return n
}

// say sends assignments such as READY=1.
func (n *notifier) say(lines ...string) {
	if n == nil || n.conn == nil {
		return
	}
	_ = n.conn.SetWriteDeadline(time.Now().Add(time.Second))
	if _, err := n.conn.Write([]byte(strings.Join(lines, "\n"))); err != nil {
		n.log.Warn("cannot tell the service manager what goes on", "error", err)
	}
}

func (n *notifier) ready(status string) { n.say("READY=1", "STATUS="+status) }

// reloading says that a reload has begun; ready says that it is over.
func (n *notifier) reloading() {
	n.say("RELOADING=1", "MONOTONIC_USEC="+strconv.FormatInt(monotonic().Microseconds(), 10), "STATUS=reloading")
}

// stopping says that the process is about to end, and what it waits for.
func (n *notifier) stopping(status string) { n.say("STOPPING=1", "STATUS="+status) }

// watch gives signs of life until stop is closed, each after alive has returned: a
// process in which that hangs gives none, and is started again.
func (n *notifier) watch(alive func(), stop <-chan struct{}) {
	if n.every == 0 {
		return
	}
	tick := time.NewTicker(n.every / 3)
	defer tick.Stop()
	for {
		alive()
		n.say("WATCHDOG=1")
		select {
		case <-tick.C:
		case <-stop:
			return
		}
	}
}
