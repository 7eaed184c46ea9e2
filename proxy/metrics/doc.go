// Package metrics counts what the proxy does and writes it as a Prometheus
// text page.
//
// It guarantees:
//   - the hit path (Begin, Request) takes no lock and allocates nothing: it
//     adds to atomic cells of one shard, and shards share no cache line worth
//     speaking of;
//   - label values come from the closed lists given to New and from the
//     configured origin names, so that nothing a client sends becomes a label;
//     an index outside its list is counted under "other" and never panics;
//   - every family on the page has one HELP and one TYPE line, from the table
//     in families.go; what is not in that table is not on the page.
//
// It refuses to be a general metrics library: one Registry is one process's
// page, and a new metric is a new row in the table and a new method.
//
// Histograms are our own because PrometheusHistogram of
// github.com/VictoriaMetrics/metrics takes a mutex for each update, and the
// counters with labels are plain atomic cells beside them. That library's Set
// holds the rest and puts the page together; its process page gives the go_ and
// process_ families.
package metrics
