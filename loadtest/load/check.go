package load

import (
	"weir/loadtest/selfcheck"
)

// check compares one answer with what it has to be, while it arrives. It keeps the first fault only.
type check struct {
	body   bool // compare the bytes
	offset int64
	begin  int64 // offset of the first byte in the whole body
	want   int64 // bytes that have to come; -1: not known
	seed   selfcheck.Seed
	fault  *fault
	start  [16]byte // the first bytes, to tell later whose they are
	got    int64
}

// header looks at an answer's header. It is called once for an answer, before any byte of the body.
func (c *check) header(r *request, a *answer) {
	*c = check{want: -1}
	version := a.version
	partial := false
	switch {
	case r.status != 0:
		if a.status != r.status {
			c.fault = faultf(FaultStatus, "%d, should be %d", a.status, r.status)
			return
		}
	case a.status == 200:
	case a.status == 206 && r.from >= 0:
		partial = true
	case a.status == 304 && r.version >= 0:
		c.notModified(r, a)
		return
	default:
		c.fault = faultf(FaultStatus, "%d, should be %s", a.status, r.possible())
		return
	}
	if !r.verify {
		return
	}
	if partial {
		c.partial(r, a)
	} else {
		c.want = r.size
	}
	if c.fault == nil && version < r.floor {
		c.fault = faultf(FaultStale, "version %d, though version %d had been purged for before the request was sent", version, r.floor)
	}
	if r.method == "HEAD" {
		if c.fault == nil && r.size >= 0 && a.lengthGiven && a.length != r.size {
			c.fault = faultf(FaultHeader, "Content-Length of HEAD is %d, should be %d", a.length, r.size)
		}
		return
	}
	c.body = true
	c.seed = r.seed(version)
	c.offset = c.begin
	if c.want >= 0 && a.lengthGiven && a.length != c.want && c.fault == nil {
		c.fault = faultf(FaultSize, "Content-Length is %d, should be %d", a.length, c.want)
	}
}

// possible names the statuses that would be right.
func (r *request) possible() string {
	switch {
	case r.from >= 0:
		return "206 or 200"
	case r.version >= 0:
		return "200 or 304"
	}
	return "200"
}

// notModified judges a 304: it says that the version which the client named is the current one.
func (c *check) notModified(r *request, a *answer) {
	switch named := uint64(r.version); {
	case !r.verify:
	case a.hasVersion && a.version != named:
		c.fault = faultf(FaultHeader, "304 for version %d says version %d", named, a.version)
	case named < r.floor:
		c.fault = faultf(FaultStale, "304 for version %d, though version %d had been purged for before the request was sent", named, r.floor)
	}
}

// partial judges the Content-Range of a 206.
func (c *check) partial(r *request, a *answer) {
	to := r.to
	if r.size >= 0 {
		to = min(to, r.size-1)
	}
	if a.rangeFrom != r.from || a.rangeTo != to || (r.size >= 0 && a.rangeSize >= 0 && a.rangeSize != r.size) {
		c.fault = faultf(FaultHeader, "Content-Range is %d-%d/%d, should be %d-%d/%d", a.rangeFrom, a.rangeTo, a.rangeSize, r.from, to, r.size)
	}
	c.begin, c.want = r.from, to-r.from+1
}

// bytes looks at the next piece of the body.
func (c *check) bytes(b []byte) {
	if c.got < int64(len(c.start)) {
		copy(c.start[c.got:], b)
	}
	c.got += int64(len(b))
	if !c.body {
		return
	}
	if i := selfcheck.Mismatch(b, c.seed, c.offset); i >= 0 {
		c.body = false
		if c.fault == nil || c.fault.kind == FaultStale || c.fault.kind == FaultSize {
			c.fault = faultf(FaultContent, "byte %#02x at offset %d is not the object's", b[i], c.offset+int64(i))
		}
		return
	}
	c.offset += int64(len(b))
}

// end looks at the whole, once the answer has ended as its framing said.
func (c *check) end() {
	if c.fault == nil && c.want >= 0 && c.body && c.got != c.want {
		c.fault = faultf(FaultSize, "the body has %d bytes, should have %d", c.got, c.want)
	}
}
