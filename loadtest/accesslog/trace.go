package accesslog

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
)

// tracePath is where the real trace lies, relative to the root of the module.
const tracePath = "../shared/traces/apache_access.log"

// FindTrace looks for the real trace (10,000 requests to a public web site) beside the module that holds dir or a parent
// of dir.
func FindTrace(dir string) (path string, ok bool) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", false
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			path = filepath.Join(dir, filepath.FromSlash(tracePath))
			info, err := os.Stat(path)
			return path, err == nil && info.Mode().IsRegular()
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", false
		}
		dir = parent
	}
}

// Load returns the real trace when FindTrace finds it from dir, and the log that opts generate when not. source says
// which of the two it is, for a reader of the results.
func Load(dir string, opts GenerateOptions) (log *Log, source string, err error) {
	if path, ok := FindTrace(dir); ok {
		log, err := ReadFile(path)
		return log, "real trace " + filepath.Base(path), err
	}
	var buf bytes.Buffer
	if err := Generate(&buf, opts); err != nil {
		return nil, "", err
	}
	log, err = ReadAll(&buf)
	return log, fmt.Sprintf("generated log, seed %d", opts.Seed), err
}
