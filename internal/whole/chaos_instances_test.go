package whole

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/stretchr/testify/require"

	"drover/internal/cloud/local"
)

// What happens to instances.

// victim is an instance that lives.
type victim struct {
	name, dir   string
	pid         int
	port        int // 0: it does not listen yet
	preemptible bool
}

// living returns the instances that live, by name. It looks at files only: the driver
// would bury the dead.
func (c *chaos) living() (all []victim) {
	dirs, err := filepath.Glob(filepath.Join(c.instancesDirectory(), "[^.]*"))
	require.NoError(c, err)
	for _, dir := range dirs {
		v := victim{name: filepath.Base(dir), dir: dir}
		pid, err := c.pid(v.name)
		if err != nil || !isInstance(pid, dir) {
			continue
		}
		v.pid = pid
		if address, err := os.ReadFile(filepath.Join(dir, "address")); err == nil {
			if _, text, found := strings.Cut(strings.TrimSpace(string(address)), ":"); found {
				v.port, err = strconv.Atoi(text)
				require.NoError(c, err)
			}
		}
		var record struct{ Preemptible bool }
		if data, err := os.ReadFile(filepath.Join(dir, "instance.json")); err == nil {
			require.NoError(c, json.Unmarshal(data, &record))
		}
		v.preemptible = record.Preemptible
		all = append(all, v)
	}
	slices.SortFunc(all, func(a, b victim) int { return strings.Compare(a.name, b.name) })
	return all
}

// isInstance reports whether a process is that of the instance, and not one that has
// got its ID since.
func isInstance(pid int, dir string) bool {
	title, titleErr := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	environment, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	return titleErr == nil && err == nil && bytes.HasPrefix(title, []byte("drover-instance: ")) &&
		bytes.Contains(environment, []byte("DROVER_LOCAL_INSTANCE="+dir+"\x00"))
}

func (v victim) signal(signal syscall.Signal) {
	if isInstance(v.pid, v.dir) {
		_ = syscall.Kill(v.pid, signal) // it may have ended just now
	}
}

// pickInstance chooses an instance that lives.
func (c *chaos) pickInstance(e event, suits func(victim) bool) (victim, bool) {
	all := slices.DeleteFunc(c.living(), func(v victim) bool { return !suits(v) })
	v, ok := choose(e.pick, all)
	if !ok {
		c.say(e.kind, "no instance suits")
		c.counts["without a victim: "+e.kind]++
	}
	return v, ok
}

// takeInstance chooses one that nothing is being done to for as long.
func (c *chaos) takeInstance(e event) (victim, bool) {
	v, ok := c.pickInstance(e, func(v victim) bool { return v.port != 0 && time.Now().After(c.treated[v.name]) })
	if ok {
		c.say(e.kind, "%s for %s", v.name, e.lasts.Round(time.Millisecond))
		c.treated[v.name] = time.Now().Add(e.lasts)
		c.trouble(v.name, e.lasts+12*time.Second) // a probe that hangs is given up then
	}
	return v, ok
}

func (c *chaos) cutPower(e event) {
	if v, ok := c.pickInstance(e, func(victim) bool { return true }); ok {
		c.say(e.kind, "%s", v.name)
		c.unplugged[v.name] = time.Now() // also when it was to be taken later
		v.signal(syscall.SIGKILL)
	}
}

func (c *chaos) hang(e event) {
	if v, ok := c.takeInstance(e); ok {
		v.signal(syscall.SIGSTOP)
		c.later(e.lasts, func() { v.signal(syscall.SIGCONT) })
	}
}

// slowDown stops an instance for most of the time.
func (c *chaos) slowDown(e event) {
	v, ok := c.takeInstance(e)
	if !ok {
		return
	}
	const stopped, runs = 250 * time.Millisecond, 50 * time.Millisecond
	end := time.Now().Add(e.lasts)
	var pulse func()
	pulse = func() {
		if c.calm || time.Now().After(end) {
			return
		}
		v.signal(syscall.SIGSTOP)
		c.later(stopped, func() {
			v.signal(syscall.SIGCONT)
			c.later(runs, pulse)
		})
	}
	pulse()
}

func (c *chaos) cutNetwork(e event) {
	if !c.network.usable() {
		c.hang(e)
		return
	}
	if v, ok := c.takeInstance(e); ok {
		c.network.cut(v.port)
		c.later(e.lasts, func() { c.network.mend(v.port) })
	}
}

// preempt has the provider announce that it takes an instance, and take it.
func (c *chaos) preempt(e event) {
	v, ok := c.pickInstance(e, func(v victim) bool { return v.preemptible })
	if !ok {
		return
	}
	d, err := local.New(local.Config{Fleet: "default", Directory: filepath.Dir(c.instancesDirectory())})
	require.NoError(c, err)
	c.say(e.kind, "%s is taken in %s", v.name, e.lasts.Round(time.Millisecond))
	if _, ok := c.unplugged[v.name]; !ok {
		c.unplugged[v.name] = time.Now().Add(e.lasts)
	}
	c.try(e.kind, func() error { return d.Preempt(c.Context(), v.name, time.Now().Add(e.lasts)) })
}
