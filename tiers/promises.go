package tiers

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"weir/policy"
	"weir/tiers/disk"
)

// PolicyStorage is what a policy says about the disk tier.
type PolicyStorage struct {
	Name string
	// Reserve in bytes and Pin are those of disk.Class.
	Reserve int64
	Pin     bool
	// SecondHit lets on disk only what was fetched before, not long ago.
	SecondHit bool
}

// SetPolicies changes what policies are promised and let on disk. On an error,
// which is the disk's, the promises are as they were.
func (s *Store) SetPolicies(list []PolicyStorage) error {
	s.admission.setPolicies(list)
	if d := s.disk.Load(); d != nil {
		return d.SetClasses(classesOf(list))
	}
	return nil
}

func classesOf(list []PolicyStorage) []disk.Class {
	classes := make([]disk.Class, len(list))
	for i, p := range list {
		classes[i] = disk.Class{Name: p.Name, Reserve: p.Reserve, Pin: p.Pin}
	}
	return classes
}

// admission remembers what policies with SecondHit fetched, so that the second
// time it is let on disk. It is a table of fingerprints, one for each place: an
// entry lasts until another key needs its place, on average for as many keys as
// there are places. What it forgets costs one more fetch.
type admission struct {
	second atomic.Pointer[map[string]struct{}]
	list   atomic.Pointer[[]PolicyStorage]
	seen   atomic.Pointer[[admissionPlaces]atomic.Uint64]
}

// admissionPlaces makes 1 MiB, taken once a policy needs it.
const admissionPlaces = 1 << 17

func (a *admission) setPolicies(list []PolicyStorage) {
	second := make(map[string]struct{})
	for _, p := range list {
		if p.SecondHit {
			second[p.Name] = struct{}{}
		}
	}
	if len(second) > 0 && a.seen.Load() == nil {
		a.seen.Store(new([admissionPlaces]atomic.Uint64))
	}
	a.second.Store(&second)
	a.list.Store(&list)
}

// policies are those set last.
func (a *admission) policies() []PolicyStorage {
	if l := a.list.Load(); l != nil {
		return *l
	}
	return nil
}

// admits tells whether the object may go to disk, and remembers that it was
// fetched.
func (a *admission) admits(policyName string, h *policy.Hash) bool {
	second := a.second.Load()
	if second == nil {
		return true
	}
	if _, asked := (*second)[policyName]; !asked {
		return true
	}
	var place, print uint64
	for i := range 8 {
		place = place<<8 | uint64(h[i])
		print = print<<8 | uint64(h[8+i])
	}
	print |= 1 // 0 is an empty place
	return a.seen.Load()[place%admissionPlaces].Swap(print) == print
}

// shortage adds up what the disk evicted although it was fresh, and would be
// fresh still: by so much is it too small for what the policies promise. An
// object that was fetched again since counts although it is there again.
type shortage struct {
	mu sync.Mutex // protects the fields below it
	// missing are bytes by when they stop being fresh, in steps that grow with
	// the distance, so that there are never many.
	missing  map[int64]int64
	policies map[string]*int64
	logged   time.Time
	times    int // that the log was told
}

func (s *shortage) add(e disk.Evicted, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.missing == nil {
		s.missing, s.policies = make(map[int64]int64), make(map[string]*int64)
	}
	left := e.Expires.Sub(now)
	step := int64(60)
	switch {
	case left > 30*24*time.Hour:
		step = 24 * 60 * 60
	case left > 24*time.Hour:
		step = 60 * 60
	}
	s.missing[e.Expires.Unix()/step*step] += e.Size
	n := s.policies[e.Class]
	if n == nil {
		n = new(int64)
		s.policies[e.Class] = n
	}
	*n++
}

func (s *shortage) bytes(now time.Time) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytesLocked(now)
}

func (s *shortage) bytesLocked(now time.Time) int64 {
	var sum int64
	for until, n := range s.missing {
		if until <= now.Unix() {
			delete(s.missing, until)
			continue
		}
		sum += n
	}
	return sum
}

// shortageEvery bounds how often the log speaks of it: at the first object, a
// minute later, when the size of the matter shows, and then at times.
func shortageEvery(times int) time.Duration {
	switch times {
	case 0:
		return 0
	case 1:
		return time.Minute
	}
	return 10 * time.Minute
}

// due tells what the log is to say, when it is time: how much is missing, and
// which policies lost something so far.
func (s *shortage) due(now time.Time) (missing int64, policies []string, due bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.policies) == 0 || now.Sub(s.logged) < shortageEvery(s.times) {
		return 0, nil, false
	}
	s.logged = now
	s.times++
	for name := range s.policies {
		policies = append(policies, name)
	}
	slices.Sort(policies)
	return s.bytesLocked(now), policies, true
}

// Promise is what a policy has on disk and what it is promised; sizes in bytes.
type Promise struct {
	Policy         string
	Objects, Bytes int64
	Guaranteed     int64
	Pin            bool
	// EvictedFresh counts the objects evicted before they were stale, since
	// the start.
	EvictedFresh int64
}

// Promises tells, by policy, what the disk holds, and how many bytes it lacks
// to hold all that is fresh. Objects of no policy that is known are under "".
func (s *Store) Promises() (list []Promise, missing int64) {
	d := s.disk.Load()
	if d == nil {
		return nil, 0
	}
	for _, u := range d.Usage() {
		list = append(list, Promise{Policy: u.Class, Objects: u.Objects, Bytes: u.Live, Guaranteed: u.Guaranteed, Pin: u.Pin})
	}
	missing = s.short.bytes(s.now())
	s.short.mu.Lock()
	defer s.short.mu.Unlock()
	for name, n := range s.short.policies {
		i := slices.IndexFunc(list, func(p Promise) bool { return p.Policy == name })
		if i < 0 {
			i = len(list)
			list = append(list, Promise{Policy: name})
		}
		list[i].EvictedFresh = *n
	}
	return list, missing
}

// evictedDisk is told of each object that the disk pushed out.
func (s *Store) evictedDisk(e disk.Evicted) {
	fresh := e.Reason == disk.ReasonFresh
	if s.opts.Evicted != nil {
		s.opts.Evicted(policy.TierDisk, fresh)
	}
	if !fresh {
		return
	}
	now := s.now()
	s.short.add(e, now)
	if missing, policies, due := s.short.due(now); due {
		s.log.Warn("disk tier is too small for what the policies promise: objects go before they are stale",
			"missing_bytes", missing, "policies", policies)
	}
}
