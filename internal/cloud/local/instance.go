package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	// watchEvery is how often an instance looks whether its directory is still there.
	watchEvery = 2 * time.Second
)

// RunIfInstance turns this process into an instance if that is what it was started
// as, and then never returns. Otherwise it does nothing. Every program that creates
// instances calls it first thing in main, tests in TestMain; without it, Create
// refuses with class Invalid.
func RunIfInstance() {
	prepared.Store(true)
	title, ok := strings.CutPrefix(os.Args[0], argvPrefix)
	directory := os.Getenv(markVariable)
	if !ok || directory == "" {
		return
	}
	m := &machine{directory: directory, title: title, console: os.Stdout}
	if err := m.run(); err != nil {
		m.say("%v", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// machine is an instance from the inside.
type machine struct {
	directory, title string
	console          io.Writer
	record           record
	alive            *os.File
	processes        *reaper
}

// say writes a line to the console.
func (m *machine) say(format string, values ...any) {
	line := time.Now().UTC().Format("2006-01-02T15:04:05.000Z ") + fmt.Sprintf(format, values...)
	// There is nowhere else to say that the console can't be written.
	_, _ = fmt.Fprintln(m.console, line)
}

// run is the life of an instance. It ends when the process is killed, or with an
// error.
func (m *machine) run() error {
	if err := m.becomeMachine(); err != nil {
		return err
	}
	m.say("instance %s is booting", m.title)
	gone := make(chan error, 1)
	go func() { gone <- m.watch() }()
	served := make(chan error, 1)
	go func() { served <- m.boot() }()
	select {
	case err := <-served:
		return err
	case err := <-gone:
		// Nobody could end what runs here any more.
		return errors.Join(err, markOf(m.directory).killAll(context.Background()))
	}
}

// becomeMachine makes this process independent of the one that started it, and its
// children recognisable.
func (m *machine) becomeMachine() error {
	unix.CloseOnExec(aliveDescriptor)
	m.alive = os.NewFile(aliveDescriptor, aliveFile)
	if err := closeStrays(); err != nil {
		return err
	}
	// For ps and top, which would show "exe".
	if err := os.WriteFile("/proc/self/comm", []byte("drover-instance"), 0); err != nil {
		return err
	}
	unix.Umask(0o022)
	// Handled and forgotten; unlike ignored signals, these are not ignored by children.
	signal.Notify(make(chan os.Signal, 1), unix.SIGHUP, unix.SIGINT)
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("adopt orphans: %w", err)
	}
	m.processes = newReaper()
	rec, err := readRecord(m.directory)
	if err != nil {
		return err
	}
	m.record = rec
	brand := markOf(m.directory).brand
	limit := unix.Rlimit{Cur: brand, Max: brand}
	if err := unix.Setrlimit(unix.RLIMIT_RTTIME, &limit); err != nil {
		m.say("processes are recognised by their environment only: no brand: %v", err)
	}
	return writePID(m.directory, os.Getpid())
}

// closeStrays closes the open files that whoever started the starter forgot to
// close: a pipe that stays open for as long as an instance lives would have its
// reader wait for that long.
func closeStrays() error {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	for _, entry := range entries {
		descriptor, err := strconv.Atoi(entry.Name())
		if err != nil || descriptor < aliveDescriptor {
			continue
		}
		flags, err := unix.FcntlInt(uintptr(descriptor), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC != 0 {
			continue // gone already (ReadDir's own), or of this process's making
		}
		if err := unix.Close(descriptor); err != nil {
			return err
		}
	}
	return nil
}

// watch returns when the instance's directory is gone, or its provider takes it away.
func (m *machine) watch() error {
	path := filepath.Join(m.directory, aliveFile)
	for range time.Tick(watchEvery) {
		there, err := isAt(m.alive, path)
		if err != nil {
			m.say("%v", err)
			continue
		}
		if !there {
			return fmt.Errorf("%s is gone", m.directory)
		}
		if err := m.preempted(); errors.Is(err, errPreempted) {
			return err
		} else if err != nil {
			m.say("%v", err)
		}
	}
	return nil
}

// boot does what a machine does before it answers SSH, and then answers.
func (m *machine) boot() error {
	<-time.After(m.record.BootDelay)
	if m.record.InitCommand != "" {
		m.say("init command begins")
		// As cloud-init does: the boot goes on, and who looks finds out why.
		m.say("init command ended: %s", m.runInit())
	}
	server, err := newServer(m)
	if err != nil {
		return err
	}
	address, err := server.listen()
	if err != nil {
		return err
	}
	m.say("listening on %s", address)
	if err := writeFile(filepath.Join(m.directory, addressFile), []byte(address+"\n")); err != nil {
		return err
	}
	return server.serve()
}

// runInit runs the init command and says how it ended.
func (m *machine) runInit() string {
	attributes := &syscall.ProcAttr{
		Dir: m.home(), Env: m.environment(), Files: []uintptr{0, 1, 2},
		Sys: &syscall.SysProcAttr{Setsid: true},
	}
	_, ended, err := m.processes.start("/bin/sh", []string{"sh", "-c", m.record.InitCommand}, attributes)
	if err != nil {
		return err.Error()
	}
	status := <-ended
	if status.Signaled() {
		return status.Signal().String()
	}
	return fmt.Sprintf("exit status %d", status.ExitStatus())
}

func (m *machine) home() string { return filepath.Join(m.directory, homeDirectory) }

// environment is that of everything that runs on the instance.
func (m *machine) environment() []string {
	return []string{
		"PATH=" + searchPath,
		"HOME=" + m.home(),
		"USER=" + m.record.User,
		"LOGNAME=" + m.record.User,
		"SHELL=/bin/sh",
		"LANG=C.UTF-8",
		"TMPDIR=" + filepath.Join(m.directory, tmpDirectory),
		"DROVER_ROOT=" + filepath.Join(m.directory, rootDirectory),
		markVariable + "=" + m.directory,
	}
}
