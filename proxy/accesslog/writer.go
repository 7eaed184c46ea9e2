package accesslog

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"strconv"
	"time"
)

// writer is the one goroutine that reads the ring and owns the sink.
type writer struct {
	log   *Logger
	sink  sink
	batch []byte
	// torn: the last write ended within a line.
	torn bool
	// reported is the value of dropped that the log was last told.
	reported uint64
}

// run writes until Close.
func (l *Logger) run(w writer) {
	defer close(l.done)
	t := time.NewTicker(flushEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			w.drain()
		case <-l.wake:
			w.drain()
		case req := <-l.swap:
			req.reply <- w.replace(req.next)
		case <-l.stop:
			l.enabled.Store(false)
			w.drainAll()
			l.closeErr = w.sink.close()
			return
		}
	}
}

// drain writes every line that is ready.
func (w *writer) drain() {
	ok := true
	for ok {
		if w.batch, ok = w.log.ring.pop(w.batch); len(w.batch) >= batchBytes {
			w.flush()
		}
	}
	w.flush()
}

// drainAll writes every line claimed before the call. It waits for writers that
// are between claim and publication; what they do there is bounded work in
// memory. Lines claimed later are left, so that traffic cannot keep it here.
func (w *writer) drainAll() {
	r := w.log.ring
	for end := r.head.Load(); r.tail < end; {
		var ok bool
		if w.batch, ok = r.pop(w.batch); !ok {
			runtime.Gosched()
		}
		if len(w.batch) >= batchBytes {
			w.flush()
		}
	}
	w.flush()
}

// replace finishes the present sink and goes on with next. The error is that of
// closing the present one; next is in use in any case.
func (w *writer) replace(next sink) error {
	w.drainAll()
	err := w.sink.close()
	w.sink, w.torn = next, false
	w.log.target.Store(&next.target)
	w.log.enabled.Store(next.target.Kind != Off)
	return err
}

// flush writes the batch, and behind it how many lines were lost since the last
// time that could be written.
func (w *writer) flush() {
	if w.sink.w == nil {
		w.batch = w.batch[:0]
		return
	}
	dropped := w.log.dropped.Load()
	report := dropped != w.reported
	if report {
		w.batch = appendDropReport(w.batch, w.log.now(), dropped-w.reported, dropped)
	}
	if len(w.batch) == 0 {
		return
	}
	if w.write(report) && report {
		w.reported = dropped
	}
	w.batch = w.batch[:0]
}

// write writes the batch and counts what did not get through. The drop report,
// when there is one, is the last line and no request's.
func (w *writer) write(report bool) bool {
	b := w.batch
	if w.torn {
		if _, err := w.sink.w.Write([]byte{'\n'}); err == nil {
			w.torn = false
		}
	}
	n := 0
	if !w.torn {
		var err error
		if n, err = w.sink.w.Write(b); err == nil {
			return true
		}
	}
	w.log.writeErrors.Add(1)
	w.torn = w.torn || n > 0 && b[n-1] != '\n'
	lost := bytes.Count(b[n:], []byte{'\n'})
	if report && lost > 0 {
		lost--
	}
	w.log.dropped.Add(uint64(lost))
	return false
}

func appendDropReport(dst []byte, now time.Time, lost, total uint64) []byte {
	dst = append(dst, `{"time":"`...)
	dst = now.UTC().AppendFormat(dst, timeLayout)
	dst = append(dst, `","event":"lines_dropped","dropped":`...)
	dst = strconv.AppendUint(dst, lost, 10)
	dst = append(dst, `,"dropped_total":`...)
	dst = strconv.AppendUint(dst, total, 10)
	return append(dst, "}\n"...)
}

// replace opens t (nil: the present target) in the caller, so that an error
// changes nothing, and hands it to the writer.
func (l *Logger) replace(ctx context.Context, t *Target) error {
	if l == nil {
		return ErrClosed
	}
	if t == nil {
		t = l.target.Load()
	}
	next, err := open(*t, l.stderr)
	if err != nil {
		return err
	}
	req := swapRequest{next: next, reply: make(chan error, 1)}
	select {
	case l.swap <- req:
	case <-l.done:
		_ = next.close() // nothing was written to it
		return ErrClosed
	case <-ctx.Done():
		_ = next.close() // nothing was written to it
		return fmt.Errorf("cannot change access log: %w", ctx.Err())
	}
	select {
	case err := <-req.reply:
		return err
	case <-ctx.Done():
		return fmt.Errorf("cannot wait for access log to change: %w", ctx.Err())
	}
}
