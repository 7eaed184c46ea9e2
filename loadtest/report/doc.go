// Package report shows what a load run measured: as a table for a terminal, as JSON, and as an HTML page that needs nothing
// but itself.
package report
