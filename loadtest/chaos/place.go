package chaos

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
)

// nobody is the user that weir runs as where this program is root, since root's rights would hide what permissions do.
const nobody = 65534

// place is where weir listens and what it may write to.
type place struct {
	dir      string
	data     string // addresses
	admin    string
	diskSize int64
	// mounted says that the disk tier has a small file system of its own, which faults can fill; else why says why not.
	mounted bool
	why     string
	// asNobody says that weir runs without root's rights.
	asNobody bool
}

// Sizes of the file system that the disk tier has for itself. It has room for the tier's budget and a little more.
const (
	mountRoom   = 48 << 20
	mountInodes = 1500
)

func (p *place) disk() string  { return filepath.Join(p.dir, "disk") }
func (p *place) cache() string { return filepath.Join(p.disk(), "cache") }
func (p *place) file() string  { return filepath.Join(p.dir, "weir.yaml") }
func (p *place) log() string   { return filepath.Join(p.dir, "weir.log") }

func newPlace(dir string, diskSize int64) (*place, error) {
	p := &place{dir: dir, diskSize: diskSize}
	for _, a := range []*string{&p.data, &p.admin} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("cannot find a free port: %w", err)
		}
		*a = ln.Addr().String()
		_ = ln.Close()
	}
	if err := os.MkdirAll(p.disk(), 0o755); err != nil {
		return nil, fmt.Errorf("cannot make the directory of the disk tier: %w", err)
	}
	p.asNobody = mayBecomeNobody()
	p.why = p.mount()
	p.mounted = p.why == ""
	if p.asNobody {
		// Weir reads and writes below it as another user.
		for _, d := range []string{dir, p.disk()} {
			if err := os.Chmod(d, 0o777); err != nil {
				return nil, fmt.Errorf("cannot open %s for weir: %w", d, err)
			}
		}
	}
	return p, nil
}

// diskUsed is how much of the disk the tier's directory takes.
func (p *place) diskUsed() int64 {
	var n int64
	_ = filepath.WalkDir(p.cache(), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // it may be gone by now
		}
		if info, err := d.Info(); err == nil {
			n += allocated(info)
		}
		return nil
	})
	return n
}

// diskBudget is what the tier may take: its size, one segment above it, the log of purges, and as much again for a
// log that is being replaced.
func (p *place) diskBudget() int64 { return p.diskSize + max(p.diskSize/64, 1<<20) + 2*(4<<20) }
