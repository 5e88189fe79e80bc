package cli

import (
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/term"
)

// Screen shows the output of a container on stdout, and on stderr what it waits for:
// on a terminal in one line that is rewritten, else in a line per change.
type Screen struct {
	mu       sync.Mutex
	out      io.Writer
	err      io.Writer
	terminal bool
	shown    string // the status that is on the terminal now
	last     string // the last status that was said
	partial  bool   // the output ended without a newline
	asking   bool   // a question waits for its answer
}

// NewScreen returns a screen. Output may be a terminal as well.
func NewScreen(stdout, stderr io.Writer) *Screen {
	return &Screen{out: stdout, err: stderr, terminal: IsTerminal(stderr)}
}

// Status shows what the container waits for, if that has changed.
func (s *Screen) Status(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if text = clean(text); text == s.last {
		return
	}
	s.last = text
	if !s.terminal {
		fmt.Fprintf(s.err, "%s\n", text)
		return
	}
	if s.partial || s.asking {
		s.last = "" // to be said when it can be
		return      // it would be written into the output's last line
	}
	s.wipe()
	s.shown = shorten(text, s.width()-1)
	fmt.Fprint(s.err, s.shown)
}

// Note says something once, in a line of its own.
func (s *Screen) Note(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wipe()
	if s.partial && s.terminal {
		fmt.Fprintln(s.err)
		s.partial = false
	}
	fmt.Fprintf(s.err, "%s\n", OneLine(clean(text)))
}

// Ask asks a question in a line of its own: the answer comes after it. No status is
// shown until Answered.
func (s *Screen) Ask(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wipe()
	fmt.Fprint(s.err, text)
	s.asking = true
}

// Answered ends a question.
func (s *Screen) Answered() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asking = false
}

// Write writes output, unchanged.
func (s *Screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wipe()
	if len(p) > 0 && IsTerminal(s.out) {
		s.partial = p[len(p)-1] != '\n'
	}
	return s.out.Write(p)
}

// Clear takes the status from the terminal.
func (s *Screen) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wipe()
}

func (s *Screen) wipe() {
	if s.shown != "" {
		fmt.Fprint(s.err, "\r\x1b[K")
		s.shown = ""
	}
}

func (s *Screen) width() int {
	if f, ok := s.err.(*os.File); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 10 {
			return width
		}
	}
	return 80
}
