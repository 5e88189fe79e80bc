package sshexec

// What TestDerivedHostKeysAreGolden expects.
const (
	goldenPublic  = "x"
	goldenSecret  = "x"
	goldenPrivate = "x"
)
