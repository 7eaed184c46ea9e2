//go:build profile

package main

import (
	"fmt"
	"os"
	"runtime/pprof"
)

// A binary with this tag writes a CPU profile to the file that WEIR_PROFILE names,
// from the start of a command to its end; `make pgo` builds and uses one.
func init() {
	name := os.Getenv("WEIR_PROFILE")
	if name == "" {
		return
	}
	f, err := os.Create(name)
	if err == nil {
		err = pprof.StartCPUProfile(f)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "weir: cannot write a profile:", err)
		os.Exit(1)
	}
	ended = func() {
		pprof.StopCPUProfile()
		if err := f.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "weir: cannot write a profile:", err)
		}
	}
}
