package accesslog

import (
	"fmt"
	"io"
	"os"
)

// Kind says where lines go.
type Kind uint8

const (
	// Off: nowhere.
	Off Kind = iota
	// Stderr: to the process's standard error.
	Stderr
	// File: appended to a file.
	File
)

func (k Kind) String() string {
	switch k {
	case Off:
		return "off"
	case Stderr:
		return "stderr"
	case File:
		return "file"
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// Target is a place for lines.
type Target struct {
	Kind Kind
	Path string // of a File
}

// sink is an open Target. A nil writer drops what it gets without counting.
type sink struct {
	target Target
	w      io.Writer
	file   *os.File // what is to be closed, nil when nothing is
}

// open opens t. A file is created with mode 0640: a log holds addresses and
// URLs, which are not everybody's to read.
func open(t Target, stderr io.Writer) (sink, error) {
	switch t.Kind {
	case Off:
		return sink{target: t}, nil
	case Stderr:
		return sink{target: t, w: stderr}, nil
	case File:
		f, err := os.OpenFile(t.Path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
		if err != nil {
			return sink{}, fmt.Errorf("cannot open access log: %w", err)
		}
		return sink{target: t, w: f, file: f}, nil
	}
	return sink{}, fmt.Errorf("cannot open access log: unknown kind %v (known: off, stderr, file)", t.Kind)
}

func (s *sink) close() error {
	if s.file == nil {
		return nil
	}
	if err := s.file.Close(); err != nil {
		return fmt.Errorf("cannot close access log: %w", err)
	}
	return nil
}
