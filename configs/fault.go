package configs

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Fault is one thing wrong in a file, or doubtful when it stands in
// Config.Warnings.
type Fault struct {
	File string
	// Line and Column count from 1, columns in characters.
	Line, Column int
	// Message names the key and the value.
	Message string
	// Valid says what would be valid, and may be empty.
	Valid string
}

// String is file:line:column: message (valid: ...).
func (f Fault) String() string {
	s := fmt.Sprintf("%s:%d:%d: %s", f.File, f.Line, f.Column, f.Message)
	if f.Valid != "" {
		s += " (valid: " + f.Valid + ")"
	}
	return s
}

// Faults are in file order.
type Faults []Fault

// Error is one fault to a line.
func (f Faults) Error() string {
	var b strings.Builder
	for i, fault := range f {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(fault.String())
	}
	return b.String()
}

// Sorted puts faults into file order; those at one place keep their order.
func (f Faults) Sorted() Faults {
	slices.SortStableFunc(f, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return f
}

// PolicyFault is a fault that only the compiler of the policies finds: what is
// wrong with a field of one of them. It stands at the field, or at the nearest
// thing around it that the file gives.
func (c *Config) PolicyFault(index int, field, message string) Fault {
	path := fmt.Sprintf("policies[%d].%s", index, field)
	f := Fault{File: c.file, Line: 1, Column: 1, Message: path + ": " + message}
	for p := path; p != ""; p = p[:max(strings.LastIndexAny(p, ".["), 0)] {
		if at, ok := c.places[p]; ok {
			f.Line, f.Column = at.line, at.column
			break
		}
	}
	return f
}
