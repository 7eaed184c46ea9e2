package main

import (
	"time"

	"golang.org/x/sys/unix"
)

// monotonic is the machine's CLOCK_MONOTONIC, which systemd compares with its own.
func monotonic() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) // there is always one
	return time.Duration(t.Nano())
}
