package fleetspec

import (
	"math"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// The engines that run a container that has an image.
const (
	EngineProcess = "process"
	EngineDocker  = "docker"
	EnginePodman  = "podman"
)

// The CPU architectures of instance types.
const (
	ArchitectureAMD64 = "amd64"
	ArchitectureARM64 = "arm64"
)

// RunnerEmbedded is the runner source that stands for the runner built into the
// worker.
const RunnerEmbedded = "embedded"

// MaxTail is the largest output.tail: a container's result is a Temporal payload.
const MaxTail Size = 256 << 10

const (
	// maxDuration is ten years: what ends later can't be written as a time everywhere.
	maxDuration = Duration(10 * 365 * 24 * time.Hour)
	// maxCommand is less than the 128KiB that Linux takes for one argument.
	maxCommand = 64 << 10
)

// What a key may be, wherever the choice is between names.
var (
	drivers       = []string{DriverLocal}
	engines       = []string{EngineProcess, EngineDocker, EnginePodman}
	architectures = []string{ArchitectureAMD64, ArchitectureARM64}
	storeSchemes  = []string{"file", "s3"}
)

var (
	fleetName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$`)
	typeName  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)
	userName  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9._-]{0,31}$`)
)

// Drivers returns the names of the drivers that a spec can choose, in a stable order.
func Drivers() []string { return slices.Clone(drivers) }

// Validate says what is wrong with a spec in which every default is filled in, as
// UnmarshalJSON, Parse and Default return it: one line, key: what is wrong; what is
// allowed. It reports the first problem in the order of the spec's keys.
func Validate(s Spec) error {
	checks := []func(Spec) *problem{
		checkName, checkDriver, checkInstanceTypes, checkLimits, checkDurations,
		checkCommands, checkSSH, checkRunner, checkOutput, checkFaults,
	}
	for _, check := range checks {
		if p := check(s); p != nil {
			return p
		}
	}
	return nil
}

func checkName(s Spec) *problem {
	if !fleetName.MatchString(s.Name) {
		return problemf("name", "%s is not a fleet's name; allowed: 1 to 40 of a-z, 0-9 and -, with - neither first nor last", quote(s.Name))
	}
	return nil
}

func checkDriver(s Spec) *problem {
	if p := oneOf("driver", s.Driver, drivers); p != nil {
		return p
	}
	if s.Driver != DriverLocal {
		return nil
	}
	switch l := s.Local; {
	case l == nil:
		return problemf("local", "is missing; allowed: the section of the driver, such as \"local: {}\"")
	case l.Directory != "" && !absoluteDirectory(l.Directory):
		return problemf("local.directory", "%s is not an absolute, clean path; allowed: a directory such as /srv/instances, or \"\" for the default", quote(l.Directory))
	case l.BootDelay < 0 || l.BootDelay > maxDuration:
		return problemf("local.boot_delay", "%v is out of range; allowed: %s, at most %v", l.BootDelay, allowedDuration, maxDuration)
	case l.Quota < 0:
		return problemf("local.quota", "%d is negative; allowed: a number of instances, or 0 for no limit", l.Quota)
	}
	return nil
}

func checkLimits(s Spec) *problem {
	l := s.Limits
	switch {
	case l.MaxInstances < 1:
		return problemf("limits.max_instances", "%d is too small; allowed: 1 or more", l.MaxInstances)
	case l.MaxContainersPerInstance < 0:
		return problemf("limits.max_containers_per_instance", "%d is negative; allowed: a number of containers, or 0 for no limit", l.MaxContainersPerInstance)
	case !(l.MaxPriceFactor >= 1) || math.IsInf(l.MaxPriceFactor, 0):
		return problemf("limits.max_price_factor", "%v is not a factor; allowed: 1 or more", l.MaxPriceFactor)
	case l.InitialQuotaEstimate < 0:
		return problemf("limits.initial_quota_estimate", "%d is negative; allowed: a number of instances, or 0 for none", l.InitialQuotaEstimate)
	case l.CreateConcurrency < 1:
		return problemf("limits.create_concurrency", "%d is too small; allowed: 1 or more", l.CreateConcurrency)
	case l.MinIdle < 0 || l.MinIdle > l.MaxInstances:
		return problemf("limits.min_idle", "%d is out of range; allowed: 0 to limits.max_instances (%d)", l.MinIdle, l.MaxInstances)
	}
	return nil
}

// minHeartbeat keeps a spec from flooding the server.
const minHeartbeat = 2 * time.Second

func checkDurations(s Spec) *problem {
	t, i := s.Timeouts, s.Intervals
	for _, positive := range []struct {
		path  string
		value Duration
	}{
		{"timeouts.boot", t.Boot}, {"timeouts.probe", t.Probe}, {"timeouts.idle", t.Idle},
		{"timeouts.shutdown_retry", t.ShutdownRetry}, {"timeouts.term", t.Term},
		{"timeouts.signal", t.Signal}, {"timeouts.stale_run_lock", t.StaleRunLock},
		{"intervals.probe", i.Probe}, {"intervals.sync", i.Sync},
	} {
		if positive.value <= 0 || positive.value > maxDuration {
			return problemf(positive.path, "%v is out of range; allowed: a duration above 0, such as 10s, at most %v", positive.value, maxDuration)
		}
	}
	switch {
	case t.MaxAge < 0 || t.MaxAge > maxDuration:
		return problemf("timeouts.max_age", "%v is out of range; allowed: a duration, at most %v, or 0 for no limit", t.MaxAge, maxDuration)
	case i.Heartbeat.D() < minHeartbeat || i.Heartbeat > maxDuration:
		return problemf("intervals.heartbeat", "%v is out of range; allowed: a duration of %v or more, at most %v", i.Heartbeat, Duration(minHeartbeat), maxDuration)
	case i.Probe >= t.Probe:
		return problemf("intervals.probe", "%v leaves no time to probe; allowed: less than timeouts.probe (%v)", i.Probe, t.Probe)
	}
	return nil
}

func checkCommands(s Spec) *problem {
	for _, text := range []struct{ path, value string }{
		{"boot_probe", s.BootProbe}, {"init_command", s.InitCommand},
		{"ssh.key_file", s.SSH.KeyFile}, {"runner.source", s.Runner.Source},
	} {
		if strings.ContainsRune(text.value, 0) || !utf8.ValidString(text.value) {
			return problemf(text.path, "%s is not text; allowed: UTF-8 without NUL bytes", quote(text.value))
		}
		if len(text.value) > maxCommand {
			return problemf(text.path, "has %d bytes; allowed: at most %v", len(text.value), Size(maxCommand))
		}
	}
	if strings.TrimSpace(s.BootProbe) == "" {
		return problemf("boot_probe", "is empty; allowed: a shell command, such as \"true\"")
	}
	return nil
}

func checkSSH(s Spec) *problem {
	switch {
	case !userName.MatchString(s.SSH.User):
		return problemf("ssh.user", "%s is not a user's name; allowed: 1 to 32 of A-Z, a-z, 0-9, '.', _ and -, beginning with a letter or _", quote(s.SSH.User))
	case s.SSH.Port < 1 || s.SSH.Port > 65535:
		return problemf("ssh.port", "%d is not a port; allowed: 1 to 65535", s.SSH.Port)
	}
	return nil
}

func checkRunner(s Spec) *problem {
	if !absoluteDirectory(s.Runner.Directory) {
		return problemf("runner.directory", "%s is not an absolute, clean path; allowed: a directory on the instance, such as /var/lib/drover", quote(s.Runner.Directory))
	}
	return oneOf("engine", s.Engine, engines)
}

func checkOutput(s Spec) *problem {
	if s.Output.Tail <= 0 || s.Output.Tail > MaxTail {
		return problemf("output.tail", "%v is out of range; allowed: 1B to %v", s.Output.Tail, MaxTail)
	}
	if s.Output.Store == "" {
		return nil
	}
	const allowed = "file:///DIRECTORY, s3://BUCKET or \"\" for the default"
	u, err := url.Parse(s.Output.Store)
	switch {
	case err != nil || !slices.Contains(storeSchemes, u.Scheme):
		return problemf("output.store", "%s is not the URL of a store; allowed: %s", quote(s.Output.Store), allowed)
	case u.Scheme == "file" && (u.Host != "" || !absoluteDirectory(strings.TrimSuffix(u.Path, "/"))):
		return problemf("output.store", "%s names no absolute, clean path; allowed: %s", quote(s.Output.Store), allowed)
	case u.Scheme == "s3" && u.Host == "":
		return problemf("output.store", "%s names no bucket; allowed: %s", quote(s.Output.Store), allowed)
	}
	return nil
}

func oneOf(key, value string, allowed []string) *problem {
	if slices.Contains(allowed, value) {
		return nil
	}
	return problemf(key, "%s is not known; allowed: %s", quote(value), strings.Join(allowed, ", "))
}

func absoluteDirectory(dir string) bool {
	return path.IsAbs(dir) && path.Clean(dir) == dir && dir != "/" &&
		utf8.ValidString(dir) && !strings.ContainsFunc(dir, unicode.IsControl)
}
