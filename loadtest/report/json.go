package report

import (
	"encoding/json"
	"io"
	"time"

	"weir/loadtest/load"
)

// Report is one run with what a reader has to know about it.
type Report struct {
	Tool     string       `json:"tool"` // "weirload"
	Version  string       `json:"version"`
	Started  time.Time    `json:"started"`
	Command  []string     `json:"command"` // the arguments
	Settings []Setting    `json:"settings"`
	Result   *load.Result `json:"result"`
}

// Setting is one setting in words.
type Setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// WriteJSON writes the report as indented JSON.
func (r *Report) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}
