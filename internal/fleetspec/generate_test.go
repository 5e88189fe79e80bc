package fleetspec_test

import (
	"fmt"
	"time"

	"pgregory.net/rapid"

	"drover/internal/fleetspec"
)

// specs generates valid specs with every default filled in.
func specs() *rapid.Generator[fleetspec.Spec] {
	return rapid.Custom(func(t *rapid.T) fleetspec.Spec {
		s := fleetspec.Spec{
			Name:          rapid.StringMatching(`[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?`).Draw(t, "name"),
			Driver:        "local",
			Local:         drawLocal(t),
			InstanceTypes: drawTypes(t),
			Timeouts:      drawTimeouts(t),
			BootProbe:     "x" + text(t, "boot_probe"),
			InitCommand:   text(t, "init_command"),
			SSH: fleetspec.SSH{
				User:    rapid.StringMatching(`[A-Za-z_][A-Za-z0-9._-]{0,31}`).Draw(t, "user"),
				Port:    rapid.IntRange(1, 65535).Draw(t, "port"),
				KeyFile: text(t, "key_file"),
			},
			Runner: fleetspec.Runner{
				Source:    rapid.OneOf(rapid.SampledFrom([]string{"", "embedded", "/x y/z"}), rapid.Just(text(t, "source"))).Draw(t, "runner"),
				Directory: directory(t, "runner directory"),
			},
			Engine: rapid.SampledFrom([]string{"process", "docker", "podman"}).Draw(t, "engine"),
			Output: fleetspec.Output{
				Store: rapid.SampledFrom([]string{"", "file:///srv/out", "s3://bucket?region=eu-west-1&prefix=a/"}).Draw(t, "store"),
				Tail:  fleetspec.Size(rapid.Int64Range(1, int64(fleetspec.MaxTail)).Draw(t, "tail")),
			},
		}
		s.Intervals = fleetspec.Intervals{Probe: s.Timeouts.Probe - 1, Sync: duration(t, 1, "sync"), Heartbeat: max(duration(t, 1, "heartbeat"), fleetspec.Duration(2*time.Second))}
		s.Limits = fleetspec.Limits{
			MaxInstances:             rapid.IntRange(1, 5000).Draw(t, "max_instances"),
			MaxContainersPerInstance: rapid.IntRange(0, 100).Draw(t, "max_containers"),
			MaxPriceFactor:           rapid.Float64Range(1, 1e9).Draw(t, "factor"),
			InitialQuotaEstimate:     rapid.IntRange(0, 100).Draw(t, "estimate"),
			CreateConcurrency:        rapid.IntRange(1, 100).Draw(t, "concurrency"),
		}
		if rapid.Bool().Draw(t, "has faults") {
			s.Faults = drawFaults(t, s.InstanceTypes)
		}
		s.Limits.MinIdle = rapid.IntRange(0, s.Limits.MaxInstances).Draw(t, "min_idle")
		return s
	})
}

func drawLocal(t *rapid.T) *fleetspec.Local {
	l := &fleetspec.Local{BootDelay: duration(t, 0, "boot_delay"), Quota: rapid.IntRange(0, 99).Draw(t, "quota")}
	if rapid.Bool().Draw(t, "has directory") {
		l.Directory = directory(t, "local directory")
	}
	return l
}

func drawTypes(t *rapid.T) []fleetspec.InstanceType {
	types := make([]fleetspec.InstanceType, rapid.IntRange(1, 5).Draw(t, "types"))
	for i := range types {
		types[i] = fleetspec.InstanceType{
			Name:         fmt.Sprintf("%s%d", rapid.StringMatching(`[A-Za-z0-9][A-Za-z0-9._-]{0,60}`).Draw(t, "type"), i),
			ProviderType: rapid.StringMatching(`[A-Za-z0-9][A-Za-z0-9._-]{0,62}`).Draw(t, "provider_type"),
			VCPUs:        rapid.Float64Range(1e-3, 1e6).Draw(t, "vcpus"),
			Memory:       size(t, 1, "memory"),
			Scratch:      size(t, 0, "scratch"),
			GPUs:         rapid.IntRange(0, 16).Draw(t, "gpus"),
			Price:        rapid.Float64Range(0, 1e6).Draw(t, "price"),
			Preemptible:  rapid.Bool().Draw(t, "preemptible"),
			Architecture: rapid.SampledFrom([]string{"amd64", "arm64"}).Draw(t, "architecture"),
			QuotaGroup:   rapid.SampledFrom([]string{"", "standard", "G.and-VT_1"}).Draw(t, "quota_group"),
		}
	}
	return types
}

func drawFaults(t *rapid.T, types []fleetspec.InstanceType) *fleetspec.Faults {
	f := &fleetspec.Faults{
		Quota: rapid.IntRange(0, 99).Draw(t, "faults quota"), Denied: rapid.Bool().Draw(t, "denied"),
		Destroy: drawCallFaults(t), Get: drawCallFaults(t), List: drawCallFaults(t), Tag: drawCallFaults(t),
	}
	for _, it := range types {
		if rapid.Bool().Draw(t, "at capacity") {
			f.NoCapacity = append(f.NoCapacity, it.ProviderType)
		}
	}
	c := drawCallFaults(t)
	f.Create = fleetspec.CreateFaults{
		Fail: c.Fail, Lose: c.Lose, Late: c.Late, Delay: c.Delay,
		NoCapacity: rate(t), Die: rate(t), PerMinute: rapid.IntRange(0, 99).Draw(t, "per_minute"),
	}
	return f
}

func drawCallFaults(t *rapid.T) fleetspec.CallFaults {
	return fleetspec.CallFaults{Fail: rate(t), Lose: rate(t), Late: rate(t), Delay: duration(t, 1, "delay")}
}

// rate draws 0 often, so that sections are absent at times.
func rate(t *rapid.T) float64 {
	return rapid.OneOf(rapid.Just(0.0), rapid.Float64Range(0, 1)).Draw(t, "rate")
}

func drawTimeouts(t *rapid.T) fleetspec.Timeouts {
	return fleetspec.Timeouts{
		Boot: duration(t, 1, "boot"), Probe: duration(t, 2, "probe"), Idle: duration(t, 1, "idle"),
		ShutdownRetry: duration(t, 1, "shutdown_retry"), Term: duration(t, 1, "term"),
		Signal: duration(t, 1, "signal"), StaleRunLock: duration(t, 1, "stale_run_lock"),
		MaxAge: duration(t, 0, "max_age"),
	}
}

// duration draws round durations as people write them, and any other.
func duration(t *rapid.T, least int64, label string) fleetspec.Duration {
	unit := rapid.SampledFrom([]time.Duration{1, time.Millisecond, time.Second, time.Minute, time.Hour}).Draw(t, label+" unit")
	return fleetspec.Duration(unit) * fleetspec.Duration(rapid.Int64Range(least, 87600).Draw(t, label))
}

func size(t *rapid.T, least int64, label string) fleetspec.Size {
	unit := rapid.SampledFrom([]int64{1, 1e3, 1 << 10, 1e6, 1 << 20, 1e9, 1 << 30}).Draw(t, label+" unit")
	return fleetspec.Size(unit * rapid.Int64Range(least, 1e6).Draw(t, label))
}

func directory(t *rapid.T, label string) string {
	return "/" + rapid.StringMatching(`[A-Za-z0-9_:#"' {}-]{1,20}(/[a-z0-9é]{1,9}){0,3}`).Draw(t, label)
}

// text draws shell commands and paths, with everything that YAML treats specially.
func text(t *rapid.T, label string) string {
	special := rapid.StringOfN(rapid.RuneFrom([]rune(" \t\n\r\\\"'#:-?[]{}&*!|>%@`,=~0123456789.eEabtruenlé…\u0085\u2028\ufeff\x01\x1b\x7f😀")), 0, 40, -1)
	words := rapid.SampledFrom([]string{"true", "null", "~", "0", "1e3", "0x1", ".inf", "yes", "- a", "a: b", "a #b", "", "\n", "a\n", "a\n\n b\n", "test -e /x && echo 'hi there'"})
	return rapid.OneOf(special, words).Draw(t, label)
}
