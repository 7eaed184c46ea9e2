package chaos

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// insideMark is set in the environment of the process that has a mount namespace of its own.
const insideMark = "WEIR_CHAOS_INSIDE"

// Isolate runs this program once more, with the arguments args, in a mount namespace where it may make small file
// systems that nobody else sees; that needs root, or a kernel that lets users make namespaces. It returns again false
// in that process, and where the machine does not allow it: then the faults of full disks are left out.
func Isolate(ctx context.Context, args []string) (again bool, code int) {
	if os.Getenv(insideMark) != "" {
		return false, 0
	}
	cmd := exec.CommandContext(ctx, "/proc/self/exe", args...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), insideMark+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Pdeathsig: 0}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	err := cmd.Start()
	if err != nil {
		return false, 0 // newPlace says why mounts are not possible
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return true, max(exit.ExitCode(), 1)
	}
	return true, 0
}

// mount gives the disk tier a file system of its own. It returns why that is not possible.
func (p *place) mount() (why string) {
	if os.Getenv(insideMark) == "" {
		return "this machine lets nobody here make a mount namespace"
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return "mounts cannot be made private: " + err.Error()
	}
	options := fmt.Sprintf("size=%d,nr_inodes=%d,mode=777", p.diskSize+mountRoom, mountInodes)
	if err := unix.Mount("tmpfs", p.disk(), "tmpfs", 0, options); err != nil {
		return "no file system of its own: " + err.Error()
	}
	return ""
}

func (p *place) unmount() {
	if p.mounted {
		_ = unix.Unmount(p.disk(), unix.MNT_DETACH)
	}
}

// readOnly makes the file system read-only, or writable again. It fails while a file is open for writing.
func (p *place) readOnly(yes bool) error {
	flags := uintptr(unix.MS_REMOUNT)
	if yes {
		flags |= unix.MS_RDONLY
	}
	return unix.Mount("", p.disk(), "", flags, fmt.Sprintf("size=%d,nr_inodes=%d", p.diskSize+mountRoom, mountInodes))
}

// mayBecomeNobody reports whether this process is the machine's root.
func mayBecomeNobody() bool {
	b, err := os.ReadFile("/proc/self/uid_map")
	return err == nil && os.Geteuid() == 0 && strings.Join(strings.Fields(string(b)), " ") == "0 0 4294967295"
}

// attributes are those of the process of weir.
func (p *place) attributes() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Setpgid: true}
	if p.asNobody {
		a.Credential = &syscall.Credential{Uid: nobody, Gid: nobody, NoSetGroups: true}
	}
	return a
}

// allocated is how many bytes a file takes.
func allocated(info fs.FileInfo) int64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Blocks * 512
	}
	return info.Size()
}
