//go:build unix

package http1

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// canPeek: sockets can be looked at without taking what is there.
const canPeek = true

// readFD reads once. What would wait is os.ErrDeadlineExceeded.
func readFD(fd uintptr, p []byte) (int, error) {
	for {
		n, err := unix.Read(int(fd), p)
		if err != unix.EINTR {
			return outcome(n, err)
		}
	}
}

// peekFD looks for one byte without taking it.
func peekFD(fd uintptr) (int, error) {
	var one [1]byte
	for {
		n, _, err := unix.Recvfrom(int(fd), one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		if err != unix.EINTR {
			return outcome(n, err)
		}
	}
}

// writeFD writes what there is room for.
func writeFD(fd uintptr, p []byte) (int, error) {
	for {
		n, err := unix.Write(int(fd), p)
		switch err {
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, nil
		default:
			return max(n, 0), err
		}
	}
}

func outcome(n int, err error) (int, error) {
	switch {
	case err == unix.EAGAIN:
		return 0, os.ErrDeadlineExceeded
	case err != nil:
		return 0, os.NewSyscallError("read", err)
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}
