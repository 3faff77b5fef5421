// Package erase_test holds the promise that erasure erases: it runs the built binary,
// kills it at every step of an erasure, starts it again, and looks for the name and
// the address in every file of every data folder.
package erase_test

import (
	"os"
	"testing"

	"sluice/test/program"
)

// binary is the program under test.
var binary program.Binary

func TestMain(m *testing.M) { os.Exit(binary.Test(m)) }
