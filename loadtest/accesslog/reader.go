package accesslog

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
)

// MaxLine is the longest line that is read, in bytes; servers bound a request line to 8 KiB and fields likewise.
const MaxLine = 64 << 10

// Reader reads a log line by line. Make it with NewReader. It must not be used by two goroutines at once.
type Reader struct {
	br   *bufio.Reader
	line int
}

// NewReader reads from r, which the caller closes.
func NewReader(r io.Reader) *Reader {
	return &Reader{br: bufio.NewReaderSize(r, MaxLine)}
}

// Next returns the next entry; empty lines are skipped. At the end the error is io.EOF. A *ParseError concerns this line
// only, and reading can go on; any other error is the reader's and final.
func (r *Reader) Next() (Entry, error) {
	for {
		text, err := r.br.ReadSlice('\n')
		if len(text) == 0 && err != nil {
			return Entry{}, readError(err)
		}
		r.line++
		if errors.Is(err, bufio.ErrBufferFull) {
			perr := &ParseError{Line: r.line, Column: 1, Fault: FaultTooLong, Text: clip(string(text[:textLimit+1]))}
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = r.br.ReadSlice('\n')
			}
			return Entry{}, perr
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return Entry{}, readError(err)
		}
		if text[len(text)-1] == '\n' {
			text = text[:len(text)-1]
		}
		if len(text) == 0 || (len(text) == 1 && text[0] == '\r') {
			continue
		}
		parse := Parse
		if text[0] == '{' { // no address begins so
			parse = ParseJSON
		}
		e, perr := parse(string(text))
		var fault *ParseError
		if errors.As(perr, &fault) {
			fault.Line = r.line
		}
		return e, perr
	}
}

func readError(err error) error {
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	return fmt.Errorf("cannot read log: %w", err)
}

// Log is a whole log in memory.
type Log struct {
	Entries []Entry       // in the order of the lines, those of usable faulty lines included
	Faults  []*ParseError // every line that is not in the format
}

// ReadAll reads r to its end. Faulty lines are no error; a reader that fails is one.
func ReadAll(r io.Reader) (*Log, error) {
	log := &Log{}
	lr := NewReader(r)
	for {
		e, err := lr.Next()
		var fault *ParseError
		switch {
		case errors.As(err, &fault):
			log.Faults = append(log.Faults, fault)
			if !fault.Usable {
				continue
			}
		case errors.Is(err, io.EOF):
			return log, nil
		case err != nil:
			return log, err
		}
		log.Entries = append(log.Entries, e)
	}
}

// ReadFile reads the log at path.
func ReadFile(path string) (*Log, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot open log: %w", err)
	}
	defer f.Close()
	log, err := ReadAll(f)
	if err != nil {
		return nil, fmt.Errorf("cannot read log %s: %w", path, err)
	}
	return log, nil
}
