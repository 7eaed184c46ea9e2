package report

import "io"

// WriteHTML TODO
func (r *Report) WriteHTML(w io.Writer) error { return r.WriteTable(w) }
