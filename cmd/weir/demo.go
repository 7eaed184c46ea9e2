package main

import (
	"github.com/spf13/cobra"
)

func demoCommand() *cobra.Command {
	return &cobra.Command{Use: "demo", Short: "Start a small shop with weir in front of it, and show what to try"}
}
