package listen

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// Sockets are listening sockets that another process opened: systemd, or a weir
// that is taken over. The zero value holds none.
type Sockets struct{ list []socket }

type socket struct {
	name string // for messages
	ln   *net.TCPListener
}

// Take returns the socket that listens on address, which is that of a
// configuration, or nil. The caller owns it.
func (s *Sockets) Take(address string) *net.TCPListener {
	want, err := net.ResolveTCPAddr("tcp", address)
	if err != nil || want.Port == 0 {
		return nil
	}
	for i, one := range s.list {
		if sameAddress(want, one.ln.Addr().(*net.TCPAddr)) {
			s.list = append(s.list[:i], s.list[i+1:]...)
			return one.ln
		}
	}
	return nil
}

// sameAddress reports whether a socket on has is what a configuration with want asks for. An address
// without a host asks for all of the machine's, with IPv4 or with both.
func sameAddress(want, has *net.TCPAddr) bool {
	w, h := want.AddrPort(), has.AddrPort()
	switch {
	case w.Port() != h.Port():
		return false
	case want.IP == nil:
		return h.Addr().IsUnspecified()
	}
	return unmapped(w) == unmapped(h)
}

func unmapped(a netip.AddrPort) netip.Addr { return a.Addr().Unmap() }

// Left says, each with its name and address, which sockets were not taken.
func (s *Sockets) Left() []string {
	var all []string
	for _, one := range s.list {
		all = append(all, fmt.Sprintf("%s (%s)", one.ln.Addr(), one.name))
	}
	return all
}

// Close closes those that were not taken.
func (s *Sockets) Close() {
	for _, one := range s.list {
		_ = one.ln.Close()
	}
	s.list = nil
}

// firstPassed is the descriptor of the first socket that systemd passes
// (SD_LISTEN_FDS_START in sd_listen_fds(3)).
const firstPassed = 3

// FromSystemd takes over the sockets that systemd passes to this process by
// LISTEN_FDS, LISTEN_PID and LISTEN_FDNAMES (sd_listen_fds(3)). Those that are
// meant for another process do not count. The variables are removed, so that no
// program that this one starts takes them for its own. It is called once, before
// the process opens files.
func FromSystemd() (*Sockets, error) {
	count, pid, names := os.Getenv("LISTEN_FDS"), os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDNAMES")
	for _, name := range []string{"LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"} {
		_ = os.Unsetenv(name) // it fails for names that are none
	}
	if count == "" || pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return &Sockets{}, nil
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 || n > maxSockets {
		return nil, fmt.Errorf("cannot take the sockets of LISTEN_FDS: it is %q (valid is 0 to %d)", count, maxSockets)
	}
	list := strings.Split(names, ":")
	s := &Sockets{}
	for i := range n {
		name := "passed by systemd"
		if i < len(list) && list[i] != "" && list[i] != "unknown" {
			name += " as " + list[i]
		}
		if err := s.add(firstPassed+i, name); err != nil {
			s.Close()
			return nil, fmt.Errorf("cannot take socket %d of %d, %s: %w", i+1, n, name, err)
		}
	}
	return s, nil
}

// maxSockets bounds what is taken from another process. A configuration has at most
// 100 listeners, and the kernel passes at most 253 descriptors in one message.
const maxSockets = 250

// add takes the descriptor fd, which it closes in any case.
func (s *Sockets) add(fd int, name string) error {
	syscall.CloseOnExec(fd)
	// So that Go does not keep a thread for it. The flag is that of the socket, which
	// another process may have open as well; Go's listeners expect it.
	if err := syscall.SetNonblock(fd, true); err != nil {
		return fmt.Errorf("descriptor %d is not open", fd)
	}
	f := os.NewFile(uintptr(fd), name)
	ln, err := net.FileListener(f) // has a descriptor of its own
	_ = f.Close()
	if err != nil {
		return errors.New("it is no socket that listens (in systemd's unit: ListenStream=)")
	}
	tcp, ok := ln.(*net.TCPListener)
	if !ok {
		network := ln.Addr().Network()
		_ = ln.Close()
		return fmt.Errorf("it listens on %s (valid is TCP: ListenStream= with a port)", network)
	}
	s.list = append(s.list, socket{name, tcp})
	return nil
}
