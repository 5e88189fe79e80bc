package local

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// firstBrand is the lowest brand; the highest is just below twice that.
const firstBrand = 1 << 60

// mark is what all processes of an instance have in common, and no others: whatever
// they do to get away from where they were started (setsid, double fork, an empty
// environment, another directory, closed files), they have inherited it.
//
// The brand is the instance's own value of the resource limit RLIMIT_RTTIME: some
// thirty thousand years of real-time scheduling, so that it limits nothing. A limit
// can be lowered without privileges, is inherited by every child, survives exec and
// changes of user, can be read for any process, and nobody touches this one. The
// directory, in the environment, is there as well for kernels and sandboxes without
// that limit. Open files and working directories under the instance's directory are
// no evidence: an operator's tail and another worker have them too.
//
// Both follow from the path of the instance's directory, which is unique as its
// name is, so that no record has to be readable for them.
type mark struct {
	brand     uint64
	directory string
}

func markOf(directory string) mark {
	sum := sha256.Sum256([]byte(directory))
	return mark{brand: firstBrand + binary.LittleEndian.Uint64(sum[:])%firstBrand, directory: directory}
}

// process is one process at the time of a scan. Start, in clock ticks since the
// machine's boot, tells it from a later one with the same ID.
type process struct {
	pid, parent int
	start       uint64
}

// scan returns the processes that bear the mark and their descendants, without
// those that have ended and the caller's own ancestors.
func (m mark) scan() ([]process, error) {
	all, err := allProcesses()
	if err != nil {
		return nil, err
	}
	children := map[int][]process{}
	byID := map[int]process{}
	var found []process
	for _, p := range all {
		byID[p.pid] = p
		children[p.parent] = append(children[p.parent], p)
		if m.on(p.pid) {
			found = append(found, p)
		}
	}
	taken := map[int]bool{}
	for pid := os.Getpid(); pid != 0 && !taken[pid]; pid = byID[pid].parent {
		taken[pid] = true
	}
	var members []process
	for len(found) > 0 {
		p := found[len(found)-1]
		found = found[:len(found)-1]
		if !taken[p.pid] {
			taken[p.pid] = true
			members = append(members, p)
			found = append(found, children[p.pid]...)
		}
	}
	return members, nil
}

// kernelThread is the flag, in /proc/<pid>/stat, of what has no program.
const kernelThread = 0x00200000

// allProcesses returns every process that can still run, without the kernel's own.
func allProcesses() (processes []process, err error) {
	proc, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, proc.Close()) }()
	names, err := proc.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if p, running := look(pid); running {
			processes = append(processes, p)
		}
	}
	return processes, nil
}

// look returns what /proc says about a process, and whether it can still run.
func look(pid int) (process, bool) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process{}, false
	}
	// The second field is the command in parentheses, and may contain anything.
	fields := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
	if len(fields) < 20 {
		return process{}, false
	}
	parent, parentErr := strconv.Atoi(string(fields[1]))
	flags, flagsErr := strconv.ParseUint(string(fields[6]), 10, 64)
	start, startErr := strconv.ParseUint(string(fields[19]), 10, 64)
	// A zombie with threads is a process whose first thread has ended.
	ended := bytes.ContainsAny(fields[0], "ZX") && string(fields[17]) <= "1"
	known := parentErr == nil && flagsErr == nil && startErr == nil
	return process{pid: pid, parent: parent, start: start}, known && !ended && flags&kernelThread == 0
}

// on reports whether a process bears the mark. What can't be read isn't there any
// more, or belongs to somebody else.
func (m mark) on(pid int) bool {
	if limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid)); err == nil {
		if brand := brandIn(limits); brand != 0 {
			return brand == m.brand
		}
	}
	environment, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		return false
	}
	for variable := range bytes.SplitSeq(environment, []byte{0}) {
		if string(variable) == markVariable+"="+m.directory {
			return true
		}
	}
	return false
}

// brandIn returns the brand among a process's limits, or 0.
func brandIn(limits []byte) uint64 {
	title := []byte("\nMax realtime timeout")
	at := bytes.Index(limits, title)
	if at < 0 {
		return 0
	}
	fields := bytes.Fields(limits[at+len(title):])
	if len(fields) < 2 {
		return 0
	}
	hard, err := strconv.ParseUint(string(fields[1]), 10, 64)
	if err != nil || hard < firstBrand { // "unlimited", or a limit that is one
		return 0
	}
	return hard
}

// kill sends SIGKILL to a process of an earlier scan, and returns a file that polls
// as readable once it has ended, or nil when it already has. It can't hit another
// process that got the same ID since.
func (p process) kill() (*os.File, error) {
	descriptor, err := unix.PidfdOpen(p.pid, 0)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("process %d: %w", p.pid, err)
	}
	handle := os.NewFile(uintptr(descriptor), "pidfd")
	now, running := look(p.pid)
	if !running || now.start != p.start {
		return nil, handle.Close()
	}
	err = unix.PidfdSendSignal(descriptor, unix.SIGKILL, nil, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil, handle.Close()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("kill process %d: %w", p.pid, err), handle.Close())
	}
	return handle, nil
}
