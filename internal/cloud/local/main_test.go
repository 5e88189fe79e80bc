package local

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"drover/internal/cloud"
	"drover/internal/cloud/cloudtest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// creatorVariable makes the test binary a worker that creates an instance: its value
// is the directory, and the request is in the arguments.
const creatorVariable = "DROVER_TEST_CREATOR"

// scannerVariable makes the test binary one that scans for the mark of the directory
// that is its value.
const scannerVariable = "DROVER_TEST_SCANNER"

func TestMain(m *testing.M) {
	if os.Getenv(creatorVariable+"_FORGETS") == "" {
		RunIfInstance()
	}
	if directory := os.Getenv(scannerVariable); directory != "" {
		found, err := markOf(directory).scan()
		if err != nil {
			panic(err)
		}
		fmt.Print(found)
		os.Exit(0)
	}
	if directory := os.Getenv(creatorVariable); directory != "" {
		os.Exit(createAndExit(directory, os.Args[1], os.Args[2], os.Args[3]))
	}
	goleak.VerifyTestMain(m)
}

// createAndExit is a worker that lives for one Create.
func createAndExit(directory, name, authorized, host string) int {
	d, err := New(Config{Fleet: testFleet, Directory: directory})
	if err == nil {
		fmt.Println("creating")
		_, err = d.Create(context.Background(), cloud.CreateRequest{
			Name: name, ProviderType: "small", User: "root", AuthorizedKey: authorized, HostKey: host,
		})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if os.Getenv(creatorVariable+"_HOLDS") != "" {
		fmt.Println("created")
		_ = unix.Pause() // until it is killed
	}
	return 0
}

const testFleet = "fleet"

// newDirectory returns a directory for instances, which is checked at the end: no
// process of an instance may be left, and no file.
func newDirectory(t *testing.T) string {
	t.Helper()
	directory, err := os.MkdirTemp("", "drover-local-")
	require.NoError(t, err)
	t.Cleanup(func() {
		if err := DestroyAll(context.Background(), directory); err != nil {
			t.Errorf("clean up: %v", err)
		}
		assert.NoDirExists(t, directory)
		// Not at once: a child of this process, between fork and exec, has its files.
		assert.Eventually(t, func() bool { return len(processesUnder(t, directory)) == 0 },
			patience, 5*time.Millisecond, "%v", processesUnder(t, directory))
	})
	return directory
}

func newDriver(t *testing.T, cfg Config) *Driver {
	t.Helper()
	if cfg.Directory == "" {
		cfg.Directory = newDirectory(t)
	}
	if cfg.Fleet == "" {
		cfg.Fleet = testFleet
	}
	d, err := New(cfg)
	require.NoError(t, err)
	return d
}

// processesUnder returns the processes with the mark of any instance under a
// directory in their environment, or their open files, working directory or program
// there: all that a person could find.
func processesUnder(t *testing.T, directory string) []string {
	t.Helper()
	all, err := allProcesses()
	require.NoError(t, err)
	var found []string
	for _, p := range all {
		if p.pid == os.Getpid() {
			continue
		}
		environment, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.pid))
		if err == nil && strings.Contains(string(environment), markVariable+"="+directory+"/") {
			found = append(found, fmt.Sprintf("%d by its environment", p.pid))
		}
		links := []string{"cwd", "exe", "root"}
		if entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.pid)); err == nil {
			for _, entry := range entries {
				links = append(links, "fd/"+entry.Name())
			}
		}
		for _, link := range links {
			to, err := os.Readlink(fmt.Sprintf("/proc/%d/%s", p.pid, link))
			if err == nil && strings.HasPrefix(to, directory+"/") {
				found = append(found, fmt.Sprintf("%d by %s: %s", p.pid, link, to))
			}
		}
	}
	return found
}

func TestSuite(t *testing.T) {
	cloudtest.Run(t, func(t *testing.T) cloudtest.Harness {
		directory := newDirectory(t)
		return cloudtest.Harness{
			Driver:       newDriver(t, Config{Directory: directory}),
			Second:       newDriver(t, Config{Directory: directory}),
			Other:        newDriver(t, Config{Directory: directory, Fleet: "other"}),
			Limited:      newDriver(t, Config{Directory: directory, Fleet: "limited", Quota: 3}),
			Quota:        3,
			ProviderType: "small",
		}
	})
}
