package sshexec

import (
	"bytes"
	"context"
	"fmt"
	"strings"
)

// Quote returns s as one word of a POSIX shell, whatever is in it but NUL.
func Quote(s string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+:,./-"
	if s != "" && strings.Trim(s, plain) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// script returns the command line that runs a POSIX shell script with arguments,
// whatever the user's login shell is.
func script(text string, args ...string) string {
	line := "sh -c " + Quote(text) + " sh"
	for _, a := range args {
		line += " " + Quote(a)
	}
	return line
}

// Uname returns the architecture of an instance as Go calls it: amd64 or arm64.
// Others are an error. A program for the wrong one shows only as exit status 126.
func (p *Pool) Uname(ctx context.Context, t Target) (string, error) {
	var out bytes.Buffer
	if err := p.Run(ctx, t, Command{Line: "uname -m", Stdout: &out}); err != nil {
		return "", fmt.Errorf("find the architecture: %w", err)
	}
	switch machine := strings.TrimSpace(out.String()); machine {
	case "x86_64":
		return "amd64", nil
	case "aarch64", "arm64":
		return "arm64", nil
	default:
		return "", fmt.Errorf("find the architecture of %s: uname -m says %q, which is none that drover has a runner for", t.Address, machine)
	}
}
