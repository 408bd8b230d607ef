// Command vault is HashiCorp Vault's own command line, built from its published Go module.
//
// It exists so that the tests have a real Vault server on a machine for which no package holds one.
// Read the licence note in README.md before you build it: it is for testing, on your own machine.
package main

import (
	"os"

	"github.com/hashicorp/vault/command"
)

func main() { os.Exit(command.Run(os.Args[1:])) }
