// Package configs turns a weir.yaml into a Config: it parses, fills in the
// defaults and validates.
//
// Guaranteed: a Config that Parse returns is complete and consistent, so that
// no other package checks it again. A file with faults yields every fault at
// once, in file order, each with file, line, column, the value and what would
// be valid. The work done for a file is bounded, whatever its aliases say.
//
// Refused: guesses. A size or a duration without a unit, an unknown key, a key
// given twice, a key without a value are faults. Nothing is read from the
// environment, and there are no includes, templates or merge keys.
//
// A Config is immutable: Reloadable makes a new one from two.
package configs
