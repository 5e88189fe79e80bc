// Package runner is the program that drover copies to instances: it starts
// containers there, supervises them, and tells what became of them.
//
// There is no daemon. Every container has one supervisor process and one record,
// a directory of files; all calls of the command line work on these records, so
// that any number of them, at once and killed at any point, agree with each other:
//
//	ROOT/broken              written by a site's own health check; `list` says so
//	ROOT/starting/           records in the making
//	ROOT/containers/ID/      the record of a container, moved here in one rename
//	    record.json          the spec, when it was recorded, the supervisor's process ID
//	    lock                 held by the supervisor for as long as it lives
//	    held                 held by the processes of the container
//	    waiting              a named pipe, there until a container that waits for others begins
//	    revoked              what waiting becomes when the container is revoked before that
//	    output, tail         what the container wrote (see output.go)
//	    work/                where the container runs; removed when it has ended
//	    .result              space set aside, so that a full disk cannot lose the result
//	    result.json          the result; it exists from the container's end on, for ever
//
// The directory of an ID, once there, never goes away: `forget` empties it but for
// the result, and so a late second `start` of the same ID finds it taken.
//
// A container that is put on record after others has its supervisor at once, which waits
// until one of them has ended and then begins, unless the container was revoked before
// (see after.go).
//
// The package is for Linux only, and imports as little as it can: the binary starts
// in milliseconds.
package runner
