package configs

import _ "embed"

// Sample is the commented sample file: valid as it stands, and it names every
// key. Keys behind a "#" show what is not switched on.
//
//go:embed weir.sample.yaml
var Sample []byte

// Minimal is the shortest useful file.
//
//go:embed minimal.yaml
var Minimal []byte
