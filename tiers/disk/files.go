package disk

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// lockPatience is how long the lock may be held by somebody who looks whether the directory is in use (see inUse), which
// takes microseconds, or by a process that is just ending.
const lockPatience = 250 * time.Millisecond

// dirLock is the lock of one store on its directory; the kernel drops it with the process.
type dirLock struct{ f *os.File }

func lockDir(dir string) (*dirLock, error) {
	path := filepath.Join(dir, "LOCK")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot open %s: %w", path, err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	for deadline := time.Now().Add(lockPatience); errors.Is(err, unix.EWOULDBLOCK) && time.Now().Before(deadline); {
		time.Sleep(lockPatience / 50)
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	if err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("cannot lock %s: %w", path, ErrLocked)
		}
		return nil, fmt.Errorf("cannot lock %s: %w", path, err)
	}
	return &dirLock{f: f}, nil
}

// held tells whether the directory is still the one that was locked. A directory that cannot be asked may come back.
func (l *dirLock) held() bool {
	there, err := os.Stat(l.f.Name())
	if err != nil {
		return !errors.Is(err, os.ErrNotExist)
	}
	ours, err := l.f.Stat()
	return err != nil || os.SameFile(there, ours)
}

// discard empties the directory of a store; the caller holds its lock.
func discard(dir string) error {
	indexes, err := indexDirs(dir)
	if err != nil {
		return err
	}
	var paths []string
	for _, d := range indexes {
		paths = append(paths, d.path)
	}
	des, err := os.ReadDir(filepath.Join(dir, "segments"))
	if err != nil {
		return err
	}
	for _, de := range des {
		if segmentFile.MatchString(de.Name()) {
			paths = append(paths, filepath.Join(dir, "segments", de.Name()))
		}
	}
	// The identity goes last: what is left after a kill half way is still this store's.
	for _, path := range append(paths, filepath.Join(dir, cleanName), filepath.Join(dir, storeName)) {
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("cannot empty the disk store: %w", err)
		}
	}
	return nil
}

// Names of what a store makes in its directory. What else lies there is somebody else's and is not touched.
var (
	indexName   = regexp.MustCompile(`^index-([0-9]{8,18})(\.bad)?$`)
	segmentFile = regexp.MustCompile(`^[0-9]{10}\.seg(\.aside)?$`)
)

// indexPath is the directory of one generation of the index.
type indexPath struct {
	path string
	gen  uint64
	bad  bool // given up
}

// indexDirs lists the directories of indexes in dir, oldest first.
func indexDirs(dir string) ([]indexPath, error) {
	des, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var list []indexPath
	for _, de := range des {
		m := indexName.FindStringSubmatch(de.Name())
		if m == nil {
			continue
		}
		gen, err := strconv.ParseUint(m[1], 10, 63)
		if err != nil {
			continue
		}
		list = append(list, indexPath{path: filepath.Join(dir, de.Name()), gen: gen, bad: m[2] != ""})
	}
	slices.SortStableFunc(list, func(a, b indexPath) int { return cmp.Compare(a.gen, b.gen) })
	return list, nil
}

// removeLeftovers removes what a process that was killed while it wrote such a file has left.
func removeLeftovers(dir string) {
	for _, name := range []string{storeName, classesName, cleanName, filepath.Join("segments", probeName)} {
		_ = os.Remove(filepath.Join(dir, name+tmpSuffix))
	}
	_ = os.Remove(filepath.Join(dir, "segments", probeName))
}

func (l *dirLock) unlock() error { return l.f.Close() }

const tmpSuffix = ".tmp"

// writeFileSync replaces path with b: written beside it, synced, renamed.
func writeFileSync(path string, b []byte) error {
	tmp := path + tmpSuffix
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		_ = os.Remove(tmp)
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return nil
}

// readFileLimited reads a file that should be small.
func readFileLimited(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("%w: %s is too large", errFormat, path)
	}
	return b, err
}

func randomSalt() (uint64, error) {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return 0, fmt.Errorf("cannot draw a salt: %w", err)
	}
	return binary.LittleEndian.Uint64(b[:]), nil
}

// dirSize is the bytes that the files of dir take; files that vanish meanwhile count nothing.
func dirSize(dir string) int64 {
	des, err := os.ReadDir(dir)
	if err != nil {
		return 0
	}
	var n int64
	for _, de := range des {
		if st, err := de.Info(); err == nil && st.Mode().IsRegular() {
			n += st.Size()
		}
	}
	return n
}
