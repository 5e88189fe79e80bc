// The runner: the program that drover copies to instances. What it does is in package runner.
package main

import (
	"os"

	"drover/internal/runner"
)

func main() { os.Exit(runner.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }
