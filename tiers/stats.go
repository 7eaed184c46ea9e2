package tiers

import "weir/tiers/disk"

// DiskStats is what the disk tier has done since it was opened; all zero while
// it could not be opened. ok is false when none is configured.
func (s *Store) DiskStats() (st disk.Stats, ok bool) {
	if s.opts.Disk == nil {
		return disk.Stats{}, false
	}
	if d := s.disk.Load(); d != nil {
		st = d.Stats()
	}
	return st, true
}

// DiskWrittenIndex is disk.Store.WrittenIndex, 0 while the disk is away.
func (s *Store) DiskWrittenIndex() int64 {
	if d := s.disk.Load(); d != nil {
		return d.WrittenIndex()
	}
	return 0
}
