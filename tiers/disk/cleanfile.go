package disk

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/cockroachdb/pebble/v2/record"
)

// cleanName is the file that a clean stop leaves and the next start takes away. It says what the index consisted of, so
// that damage which Pebble would open without a word (a MANIFEST or a log cut at a record border brings back an OLDER
// index, which may show superseded objects) is seen.
const cleanName = "CLEAN"

type cleanMark struct {
	Version int    `json:"version"`
	Gen     uint64 `json:"generation"`
	Next    uint32 `json:"next_segment"`
	// Segments that were there: an index whose segments changed is looked through like one after an unclean stop.
	Segments []uint32 `json:"segments"`

	// Classes is what each class has in the index.
	Classes map[uint8]classCount `json:"classes"`
	Files   []cleanFile          `json:"files"`
}

type classCount struct {
	Objects int64 `json:"objects"`
	Live    int64 `json:"live_bytes"`
}

func (ix *index) classCounts() map[uint8]classCount {
	counts := make(map[uint8]classCount)
	for i := range ix.class {
		c := classCount{Objects: ix.class[i].objects.Load(), Live: ix.class[i].live.Load()}
		if c != (classCount{}) {
			counts[uint8(i)] = c
		}
	}
	return counts
}

func (ix *index) setCounts(counts map[uint8]classCount) {
	for i, c := range counts {
		ix.objects.Add(c.Objects)
		ix.live.Add(c.Live)
		ix.class[i].add(c.Objects, c.Live)
	}
}

type cleanFile struct {
	Name string `json:"name"`
	Size int64  `json:"size"`
	CRC  uint32 `json:"crc"`
}

// listIndex describes the files of an index. Tables carry checksums of their own in every block, so their bytes are not
// read; everything else is small after a flush.
func listIndex(dir string) ([]cleanFile, error) {
	des, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var list []cleanFile
	for _, de := range des {
		st, err := de.Info()
		if err != nil {
			return nil, err
		}
		cf := cleanFile{Name: de.Name(), Size: st.Size()}
		if !strings.HasSuffix(cf.Name, ".sst") && st.Mode().IsRegular() {
			h := crc32.New(castagnoli)
			f, err := os.Open(filepath.Join(dir, cf.Name))
			if err != nil {
				return nil, err
			}
			_, err = io.Copy(h, f)
			_ = f.Close()
			if err != nil {
				return nil, err
			}
			cf.CRC = h.Sum32()
		}
		list = append(list, cf)
	}
	return list, nil
}

// writeClean leaves the mark for an index that is closed.
func writeClean(dir, indexDir string, m cleanMark) error {
	files, err := listIndex(indexDir)
	if err != nil {
		return err
	}
	m.Version, m.Files = formatVersion, files
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	body = fmt.Appendf(body, "\n%08x\n", crc32.Checksum(body, castagnoli))
	return writeFileSync(filepath.Join(dir, cleanName), body)
}

// takeClean reads the mark and removes it, before anything else is changed; with keep nothing will be. ok is false when
// there is none that holds.
func takeClean(dir string, keep bool) (m cleanMark, ok bool, err error) {
	path := filepath.Join(dir, cleanName)
	b, err := readFileLimited(path, 16<<20)
	if errors.Is(err, os.ErrNotExist) {
		return m, false, nil
	}
	if !keep {
		if rerr := os.Remove(path); rerr != nil {
			return m, false, fmt.Errorf("cannot remove %s: %w", path, rerr)
		}
	}
	if err != nil {
		return m, false, nil
	}
	return parseClean(b)
}

func parseClean(b []byte) (m cleanMark, ok bool, err error) {
	if len(b) < 10 {
		return m, false, nil
	}
	body, tail := b[:len(b)-10], string(b[len(b)-10:])
	if tail != fmt.Sprintf("\n%08x\n", crc32.Checksum(body, castagnoli)) {
		return m, false, nil
	}
	if json.Unmarshal(body, &m) != nil || m.Version != formatVersion {
		return cleanMark{}, false, nil
	}
	return m, true, nil
}

// matches tells why the index in dir is not the one that m describes; nil when it is.
func (m cleanMark) matches(dir string) error {
	have, err := listIndex(dir)
	if err != nil {
		return err
	}
	if len(have) != len(m.Files) {
		return fmt.Errorf("index has %d files, %d were left", len(have), len(m.Files))
	}
	for i, f := range have {
		if f != m.Files[i] {
			return fmt.Errorf("index file %s changed while the store was closed", f.Name)
		}
	}
	return nil
}

// checkManifest reads the MANIFEST of an index that was not closed. Pebble stops at the first damaged record of it and
// opens what it has read so far, an older index; here that is an error.
func checkManifest(dir string) error {
	names, err := filepath.Glob(filepath.Join(dir, "MANIFEST-*"))
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return errors.New("index has no MANIFEST")
	}
	for _, name := range names {
		if err := checkManifestFile(name); err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(name), err)
		}
	}
	return nil
}

func checkManifestFile(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	rr := record.NewReader(f, 0)
	for {
		r, err := rr.Next()
		if err == nil {
			_, err = io.Copy(io.Discard, r)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
