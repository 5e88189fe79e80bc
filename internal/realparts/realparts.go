// Package realparts is for tests that need a real part: a program, root, a kernel's
// feature. Where one is missing they are skipped, as on a contributor's machine, unless
// all are required, as where it is decided what lands.
package realparts

import (
	"os"
	"testing"
)

// Required reports whether every part must be there: $DROVER_REQUIRE_REAL_PARTS is set.
func Required() bool { return os.Getenv("DROVER_REQUIRE_REAL_PARTS") != "" }

// Missing ends a test that lacks a part, which what says: it is skipped, or fails where all
// are required.
func Missing(t testing.TB, what string) {
	t.Helper()
	if Required() {
		t.Fatal(what)
	}
	t.Skip(what) // nothing is known about what the test is of
}
