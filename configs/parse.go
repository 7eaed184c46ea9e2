package configs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// MaxFile is the largest configuration file that is read, in bytes.
const MaxFile = 1 << 20

// Load reads, parses and validates a file, and looks at the files that it
// names. The error is Faults when the file was read.
func Load(path string) (*Config, error) {
	data, err := read(path)
	if err != nil {
		return nil, unreadable(path, err)
	}
	cfg, faults := parse(path, data)
	faults = append(faults, CheckFiles(cfg)...)
	if len(faults) > 0 {
		return nil, faults.Sorted()
	}
	return cfg, nil
}

// read returns the contents of a file, cut off beyond MaxFile.
func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, MaxFile+1))
}

// unreadable says why a configuration file cannot be read, and what would help.
func unreadable(path string, err error) error {
	valid := ""
	switch {
	case errors.Is(err, syscall.EISDIR):
		valid = " (valid: a file, such as " + filepath.Join(path, "weir.yaml") + ")"
	case errors.Is(err, fs.ErrPermission):
		valid = fmt.Sprintf(" (valid: a file that the user with the id %d may read)", os.Getuid())
	case errors.Is(err, fs.ErrNotExist):
		valid = " (valid: the name of a file)"
	}
	return fmt.Errorf("cannot read the configuration %s: %w%s", quote(path), reason(err), valid)
}

// Parse reads a configuration and validates it; name stands for the file in
// faults. It touches no file. The Config is nil when there is any fault. data
// is not kept.
func Parse(name string, data []byte) (*Config, Faults) {
	cfg, faults := parse(name, data)
	if len(faults) > 0 {
		return nil, faults
	}
	return cfg, nil
}

// parse is Parse that returns what could be read beside the faults.
func parse(name string, data []byte) (*Config, Faults) {
	d := &decoder{file: name, schema: make(map[string]bool)}
	cfg := &Config{file: name}
	if root := d.document(data); root != nil {
		top := value{d: d, head: place{1, 1}}
		top = top.child(root, place{1, 1}, "", "")
		d.config(cfg, top.object("a mapping with listen, origins and policies"))
		d.reportUnknown()
	}
	cfg.Warnings = d.warnings.Sorted()
	cfg.files, cfg.places = d.files, d.places
	return cfg, d.faults.Sorted()
}

const validFile = "at least listen, origins and one policy"

// document returns the value of the only YAML document in data, or nil after
// it reported why there is none.
func (d *decoder) document(data []byte) *yaml.Node {
	if len(data) > MaxFile {
		d.add(&d.faults, place{1, 1}, "at most "+formatSize(MaxFile), "the file is too large")
		return nil
	}
	if bytes.HasPrefix(data, []byte{0xff, 0xfe}) || bytes.HasPrefix(data, []byte{0xfe, 0xff}) {
		d.add(&d.faults, place{1, 1}, "text in UTF-8", "the file is in UTF-16")
		return nil
	}
	if at, message := badText(data); message != "" {
		d.add(&d.faults, at, "text in UTF-8", message)
		return nil
	}
	decode := yaml.NewDecoder(bytes.NewReader(data))
	var first, second yaml.Node
	if err := decode.Decode(&first); err != nil {
		d.syntax(data, err)
		return nil
	}
	switch err := decode.Decode(&second); {
	case err == nil:
		at := place{max(second.Line, 1), max(second.Column, 1)}
		d.add(&d.faults, at, "one document", `a second YAML document begins ("---")`)
	case !errors.Is(err, io.EOF):
		// What came before may be a part only: it is not judged.
		d.syntax(data, err)
		return nil
	}
	root := first.Content[0]
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" {
		d.add(&d.faults, place{1, 1}, validFile, "the file is empty")
		return nil
	}
	return root
}

// badText finds the first byte that YAML cannot hold, which its parser reports
// without a place.
func badText(data []byte) (place, string) {
	at := place{1, 1}
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			return at, fmt.Sprintf("the byte 0x%02x is not UTF-8", data[i])
		case r < ' ' && r != '\t' && r != '\n' && r != '\r', r >= 0x7f && r < 0xa0 && r != 0x85:
			return at, fmt.Sprintf("the control character U+%04X", r)
		case r == '\n':
			at.line, at.column = at.line+1, 0
		}
		at.column++
		i += n
	}
	return place{}, ""
}
