// Package compare runs weir and other caches side by side and writes a page of
// what it measured.
//
// It guarantees that what is measured is what it says: before a measurement the
// cache is warm and every body was compared, hits are checked at the origin and
// not by a system's own word, and all figures of a ratio come from one run in
// which the systems took turns. What could not be measured stands in the
// results with its reason. It ends by itself, ends all that it started, and
// removes its directories, also when it is interrupted.
//
// It refuses to compare on one core, and sends load to the loopback alone.
package compare
