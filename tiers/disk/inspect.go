package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// Inspection looks at the directory of a store without changing anything in it: no file is created, renamed or cut, not
// even a lock, so it works on a read-only file system and on a copy. What it says of a directory that a process has open
// is of one moment and may miss what that process is just doing.
type Inspection struct {
	Dir string
	// ID of the store; zero when it is lost.
	ID [16]byte
	// InUse: a process has the directory open.
	InUse bool
	// Clean: the last process that had it open closed it.
	Clean bool
	// Segments, oldest first.
	Segments []SegmentFile
	// Aside are files that a store set aside.
	Aside []string
	// Index is the directory of the index, relative; "" when there is none. IndexBytes is what its files take.
	Index      string
	IndexBytes int64
	// IndexError is why the index was not used; what is current is told from the segments alone then.
	IndexError error

	names  []string // of classes, by number
	floor  uint32
	db     *pebble.DB
	cache  *pebble.Cache
	mark   uint64
	newest map[Hash]uint64 // position of the newest record, of what the index may not know
}

// SegmentFile is a segment as a file.
type SegmentFile struct {
	Number  uint32
	Name    string // relative to the directory
	Bytes   int64
	Created time.Time
	// Sealed: it has a footer. The others were being written when the process ended.
	Sealed bool
	// Err is why it cannot be read as a segment.
	Err error

	salt uint64
}

// StoredObject is an object that a store would find.
type StoredObject struct {
	Key      string // "" where it cannot be read
	Hash     Hash
	Class    string
	Body     int64 // bytes; 0 where it cannot be read
	Disk     int64 // bytes, with headers, metadata and padding
	Stored   time.Time
	Expires  time.Time
	Segment  uint32
	Offset   int64
	Chunked  bool
	Meta     []byte // what was stored beside the body; nil where it cannot be read
	KeyError error  // why key and sizes cannot be read
}

// Inspect opens dir. The error is that it does not hold a store.
func Inspect(dir string) (*Inspection, error) {
	i := &Inspection{Dir: dir}
	b, err := readFileLimited(filepath.Join(dir, storeName), 4096)
	segDir := filepath.Join(dir, "segments")
	des, serr := os.ReadDir(segDir)
	if serr != nil {
		return nil, fmt.Errorf("%s holds no disk store of weir: %w", dir, serr)
	}
	if err == nil {
		if h, err := decodeSegHeader(b); err == nil {
			i.ID = h.store
		} else if errors.Is(err, errVersion) {
			return nil, fmt.Errorf("%s: %w", dir, err)
		}
	}
	i.InUse = inUse(filepath.Join(dir, "LOCK"))
	var clean cleanMark
	if b, err := readFileLimited(filepath.Join(dir, cleanName), 16<<20); err == nil {
		clean, i.Clean, _ = parseClean(b)
	}
	i.names = []string{""}
	if b, err := readFileLimited(filepath.Join(dir, classesName), 1<<20); err == nil {
		if names, err := parseClasses(b); err == nil {
			i.names = append(i.names, names...)
		}
	}
	for _, de := range des {
		i.addFile(segDir, de)
	}
	if indexes, _ := indexDirs(dir); errors.Is(err, os.ErrNotExist) && len(i.Segments)+len(i.Aside)+len(indexes) == 0 {
		return nil, fmt.Errorf("%s holds no disk store of weir: there is a directory of segments, but nothing in it is one", dir)
	}
	slices.SortFunc(i.Segments, func(a, b SegmentFile) int { return int(int64(a.Number) - int64(b.Number)) })
	i.floor = 1<<32 - 1
	if len(i.Segments) > 0 {
		i.floor = i.Segments[0].Number
	}
	if i.IndexError = i.openIndex(clean); i.IndexError != nil {
		i.mark = 0
	}
	i.overlay()
	return i, nil
}

// inUse tells whether somebody holds the lock. It is taken shared, for a moment: a store that starts in just that
// moment finds it taken.
func inUse(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	return errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
}

func (i *Inspection) addFile(segDir string, de os.DirEntry) {
	rel := filepath.Join("segments", de.Name())
	if strings.HasSuffix(de.Name(), asideSuffix) {
		i.Aside = append(i.Aside, rel)
		return
	}
	base, ok := strings.CutSuffix(de.Name(), ".seg")
	n, err := strconv.ParseUint(base, 10, 32)
	if !ok || err != nil || filepath.Base(segPath("", uint32(n))) != de.Name() {
		return
	}
	s := SegmentFile{Number: uint32(n), Name: rel}
	f, err := os.Open(filepath.Join(segDir, de.Name()))
	if err != nil {
		s.Err = err
	} else {
		defer f.Close()
		o, err := inspectSegment(f, s.Number)
		s.Bytes, s.Sealed, s.Err, s.salt = o.size, o.sealed, err, o.header.salt
		s.Created = time.UnixMilli(o.header.created)
		if err == nil && i.ID != [16]byte{} && o.header.store != i.ID && o.header.store != [16]byte{} {
			s.Err = errors.New("it belongs to another store")
		}
	}
	i.Segments = append(i.Segments, s)
}

// readOnlyFS is a file system that nothing can be changed in.
type readOnlyFS struct{ vfs.FS }

var errReadOnly = errors.New("opened to be looked at only")

func (readOnlyFS) Create(string, vfs.DiskWriteCategory) (vfs.File, error) { return nil, errReadOnly }
func (readOnlyFS) Link(string, string) error                              { return errReadOnly }
func (readOnlyFS) Remove(string) error                                    { return errReadOnly }
func (readOnlyFS) RemoveAll(string) error                                 { return errReadOnly }
func (readOnlyFS) Rename(string, string) error                            { return errReadOnly }
func (readOnlyFS) MkdirAll(string, os.FileMode) error                     { return errReadOnly }
func (readOnlyFS) Lock(string) (io.Closer, error)                         { return io.NopCloser(nil), nil }

func (readOnlyFS) OpenReadWrite(string, vfs.DiskWriteCategory, ...vfs.OpenOption) (vfs.File, error) {
	return nil, errReadOnly
}

func (readOnlyFS) ReuseForWrite(string, string, vfs.DiskWriteCategory) (vfs.File, error) {
	return nil, errReadOnly
}

// openIndex opens the newest index, if it can be trusted as a store would trust it.
func (i *Inspection) openIndex(clean cleanMark) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("index cannot be opened: panic: %v", r)
		}
	}()
	dirs, err := indexDirs(i.Dir)
	if err != nil {
		return err
	}
	dirs = slices.DeleteFunc(dirs, func(d indexPath) bool { return d.bad })
	if len(dirs) == 0 {
		return errors.New("there is no index")
	}
	dir := dirs[len(dirs)-1].path
	i.Index, i.IndexBytes = filepath.Base(dir), dirSize(dir)
	if i.InUse {
		return errors.New("a process has it open")
	}
	if i.Clean {
		err = clean.matches(dir)
	} else {
		err = checkManifest(dir)
	}
	if err != nil {
		return err
	}
	l := &inspectLog{}
	i.cache = pebble.NewCache(8 << 20)
	o := indexOptions(readOnlyFS{vfs.Default}, 1<<30, i.cache, 4<<20, &indexLog{})
	o.ReadOnly, o.Logger, o.EventListener = true, l, nil
	db, err := pebble.Open(dir, o)
	if err != nil {
		return fmt.Errorf("index cannot be opened: %w", err)
	}
	i.db = db
	if _, ok, err := i.get([]byte(keyComplete)); err != nil || !ok {
		return errors.Join(errors.New("the index was being rebuilt"), err)
	}
	v, ok, err := i.get([]byte(keyWatermark))
	if ok && len(v) == 8 {
		i.mark = binary.LittleEndian.Uint64(v)
	}
	return err
}

// inspectLog drops what Pebble says; errors come back from its calls as well.
type inspectLog struct{}

func (*inspectLog) Infof(string, ...any)              {}
func (*inspectLog) Errorf(string, ...any)             {}
func (*inspectLog) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

func (i *Inspection) get(key []byte) (v []byte, ok bool, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("index read: panic: %v", r)
		}
	}()
	b, closer, err := i.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	v = slices.Clone(b)
	return v, true, closer.Close()
}

// overlay notes the newest records in the segments that the index may not have caught up with: as a store does at its
// start, but in memory.
func (i *Inspection) overlay() {
	i.newest = make(map[Hash]uint64)
	if i.IndexError == nil && i.Clean {
		return
	}
	for _, s := range slices.Backward(i.Segments) {
		if i.IndexError == nil && uint64(s.Number) <= i.mark {
			return
		}
		list, _, err := i.records(s)
		if err != nil {
			continue
		}
		for n := range list.count() {
			rec := list.at(n)
			if rec.typ == recVoid || rec.typ == recChunk || rec.oldest < i.floor {
				continue
			}
			i.newest[rec.hash] = max(i.newest[rec.hash], rec.pos())
		}
	}
}

// records lists what a segment holds.
func (i *Inspection) records(s SegmentFile) (list records, scanned bool, err error) {
	if s.Err != nil {
		return records{}, false, s.Err
	}
	f, err := os.Open(filepath.Join(i.Dir, s.Name))
	if err != nil {
		return records{}, false, err
	}
	defer f.Close()
	list, _, scanned, err = loadRecords(f, s.Number, s.salt, s.Bytes)
	if err != nil && list.count() > 0 {
		err = nil
	}
	return list, scanned, err
}

// current tells whether rec is what a store would find under its hash.
func (i *Inspection) current(rec footEntry) (bool, error) {
	if !rec.counts() || rec.oldest < i.floor {
		return false, nil
	}
	if pos, ok := i.newest[rec.hash]; ok || i.IndexError != nil {
		return pos == rec.pos(), nil
	}
	v, ok, err := i.get(objectKey(rec.hash))
	if err != nil || !ok {
		return false, err
	}
	e, err := decodeEntry(v)
	return err == nil && e.pos() == rec.pos() && e.counts(), err
}

// Walk calls fn for each object that a store would find, segment by segment, oldest first, until fn fails. With keys
// the records are read, for key, body size and the time they were stored; without, only the lists of the segments are.
// progress, if not nil, is told how many of the segments' bytes are behind.
func (i *Inspection) Walk(keys bool, progress func(done int64), fn func(StoredObject) error) error {
	var done int64
	for _, s := range i.Segments {
		if err := i.walkSegment(s, keys, fn); err != nil {
			return err
		}
		done += s.Bytes
		if progress != nil {
			progress(done)
		}
	}
	return nil
}

func (i *Inspection) walkSegment(s SegmentFile, keys bool, fn func(StoredObject) error) error {
	list, _, err := i.records(s)
	if err != nil {
		return nil // Segments or Verify tell
	}
	f, err := os.Open(filepath.Join(i.Dir, s.Name))
	if err != nil {
		return nil // evicted meanwhile
	}
	defer f.Close()
	for n := range list.count() {
		rec := list.at(n)
		ok, err := i.current(rec)
		if err != nil {
			return fmt.Errorf("cannot read the index: %w", err)
		}
		if !ok {
			continue
		}
		o := StoredObject{
			Hash: rec.hash, Disk: int64(rec.disk), Expires: time.Unix(int64(rec.expires), 0),
			Segment: rec.seg, Offset: rec.off(), Chunked: rec.typ == recHead,
		}
		if int(rec.class) < len(i.names) {
			o.Class = i.names[rec.class]
		}
		if keys {
			o.KeyError = o.read(f, s, rec)
		}
		if err := fn(o); err != nil {
			return err
		}
	}
	return nil
}

// read fills in what only the record knows.
func (o *StoredObject) read(f io.ReaderAt, s SegmentFile, rec footEntry) error {
	b := make([]byte, recHeaderSize)
	if err := readFull(f, b, rec.off()); err != nil {
		return err
	}
	h, err := decodeHeader(b, place{salt: s.salt, seg: s.Number, off: rec.off()}, s.Bytes-rec.off())
	if err != nil {
		return err
	}
	key := make([]byte, int(h.keyLen)+int(h.metaLen))
	if err := readFull(f, key, rec.off()+recHeaderSize); err != nil {
		return err
	}
	o.Key, o.Meta, o.Body = string(key[:h.keyLen]), key[h.keyLen:], int64(h.size)
	o.Stored, o.Expires = time.UnixMilli(h.stored), time.UnixMilli(h.expires)
	return nil
}

// Close lets go of the index.
func (i *Inspection) Close() (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("index close: panic: %v", r)
		}
	}()
	if i.db != nil {
		err = i.db.Close()
	}
	if i.cache != nil {
		i.cache.Unref()
	}
	return err
}
