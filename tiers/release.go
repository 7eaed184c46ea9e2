package tiers

// ReleaseDisk gives the disk tier up for another process, which can open it once
// this returns. RAM goes on, and so do readers of what was on disk; what is fetched
// from now on is kept in RAM only. It may be called once, and before Close.
func (s *Store) ReleaseDisk() error {
	s.released = true
	s.stopBehind()
	return s.closeDisk()
}

// stopBehind ends what works behind requests.
func (s *Store) stopBehind() {
	if s.diskKept != nil {
		close(s.stop)
		<-s.diskKept
	}
	s.behind.close()
}

func (s *Store) closeDisk() error {
	s.swapping.Lock()
	s.closed = true // one that is being opened is closed again
	d := s.disk.Swap(nil)
	s.swapping.Unlock()
	if d == nil {
		return nil
	}
	s.ram.forgetHeads()
	s.parts.finish(s.opts.Disk.Dir, d)
	return d.Close()
}
