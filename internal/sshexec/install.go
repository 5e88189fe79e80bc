package sshexec

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"sync"
)

// File is a file that Install puts on an instance.
type File struct {
	// Path is absolute. Its directory is made, with mode 0700, when it is missing.
	Path string
	// Mode has the permission bits.
	Mode    fs.FileMode
	Content []byte
	// SHA256 is the sum of Content, in lower-case hex.
	SHA256 string
	// Sudo does it as root, through sudo without a password.
	Sudo bool
}

// present says whether the file ($1 path, $2 mode, $3 sum) is there; if not, how to
// send it.
const present = `
if [ -f "$1" ] && [ ! -h "$1" ] && x=$(sha256sum <"$1") && [ "${x%% *}" = "$3" ]; then
	chmod "$2" "$1" && echo present
elif command -v gzip >/dev/null; then echo gzip
else echo plain; fi`

// receive takes the file on stdin ($4 gzip or plain). The name of the temporary file
// has the PID of its shell, so that one whose shell is gone (a power cut, kill -9) is
// known as left over. A lost connection is the end of stdin: the sum is wrong then.
const receive = `
set -eu
d=${1%/*}; d=${d:-/}
umask 077
[ -d "$d" ] || mkdir -p "$d"
for old in "$d"/.install-*; do
	kill -0 "${old##*-}" 2>/dev/null || rm -f "$old"
done
t=$d/.install-$$
trap 'rm -f "$t"' EXIT
trap 'exit 1' HUP INT TERM PIPE
rm -f "$t"
set -C
if [ "$4" = gzip ]; then gzip -dc >"$t"; else cat >"$t"; fi
x=$(sha256sum <"$t")
[ "${x%% *}" = "$3" ] || { echo "the copy is damaged: its SHA-256 is ${x%% *}, not $3" >&2; exit 1; }
chmod "$2" "$t"
sync "$t" 2>/dev/null || sync
mv -fT "$t" "$1"
sync "$d" 2>/dev/null || sync`

// Install puts a file on an instance unless it is there with the right content, and
// reports whether it was copied. The path has the old file, or none, until it has the
// new one, complete, verified, with its mode, and safe from a power cut; a program
// that runs from it goes on. A copy that was cut short leaves nothing behind. Two at
// once are fine. The errors are those of Run; all may be retried.
func (p *Pool) Install(ctx context.Context, t Target, f File) (copied bool, err error) {
	if !path.IsAbs(f.Path) || path.Clean(f.Path) != f.Path || f.Path == "/" {
		return false, fmt.Errorf("install %q: not an absolute path of a file", f.Path)
	}
	line := func(text string, more ...string) string {
		args := append([]string{f.Path, fmt.Sprintf("%04o", f.Mode.Perm()), f.SHA256}, more...)
		if f.Sudo {
			return "sudo -n " + script(text, args...)
		}
		return script(text, args...)
	}
	var out bytes.Buffer
	if err := p.Run(ctx, t, Command{Line: line(present), Stdout: &out}); err != nil {
		return false, fmt.Errorf("look for %s: %w", f.Path, err)
	}
	how := strings.TrimSpace(out.String())
	if how == "present" {
		return false, nil
	}
	content := f.Content
	if how == "gzip" {
		if content, err = p.packed.get(f); err != nil {
			return false, err
		}
	}
	if err := p.Run(ctx, t, Command{Line: line(receive, how), Stdin: bytes.NewReader(content)}); err != nil {
		return false, fmt.Errorf("install %s: %w", f.Path, err)
	}
	return true, nil
}

// packed keeps what was compressed last: thousands of instances get the same runner.
type packed struct {
	mu    sync.Mutex
	bySum map[string][]byte
}

// get returns the file's content compressed.
func (p *packed) get(f File) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if b, ok := p.bySum[f.SHA256]; ok {
		return b, nil
	}
	if sum := sha256.Sum256(f.Content); hex.EncodeToString(sum[:]) != f.SHA256 {
		return nil, fmt.Errorf("install %s: the content's SHA-256 is %x, not %s", f.Path, sum, f.SHA256)
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.Copy(z, bytes.NewReader(f.Content)); err != nil {
		return nil, fmt.Errorf("compress %s: %w", f.Path, err)
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("compress %s: %w", f.Path, err)
	}
	const most = 4 // a runner for each of two architectures, of two versions
	if p.bySum == nil || len(p.bySum) >= most {
		p.bySum = map[string][]byte{}
	}
	p.bySum[f.SHA256] = b.Bytes()
	return b.Bytes(), nil
}
