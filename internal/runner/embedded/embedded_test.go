package embedded

import (
	"bytes"
	"compress/gzip"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func zipped(t *testing.T, content string) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	_, err := w.Write([]byte(content))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return buf.Bytes()
}

func TestBinary(t *testing.T) {
	whole := zipped(t, "\x7fELF…")
	files := fstest.MapFS{
		"dist/drover-runner-linux-amd64.gz":   {Data: whole},
		"dist/drover-runner-linux-riscv64.gz": {Data: whole[:len(whole)-3]},
	}
	got, err := binary(files, "amd64")
	require.NoError(t, err)
	assert.Equal(t, "\x7fELF…", string(got))
	_, err = binary(files, "arm64")
	assert.EqualError(t, err, "this binary was built without the runner for linux/arm64: run `make build`")
	_, err = binary(files, "riscv64")
	assert.ErrorContains(t, err, "unexpected EOF")
}

func TestWhatIsEmbeddedIsWholeOrSaysWhatToDo(t *testing.T) {
	for _, arch := range []string{"amd64", "arm64"} {
		got, err := Binary(arch)
		if err != nil {
			assert.ErrorContains(t, err, "make build")
			continue
		}
		assert.True(t, bytes.HasPrefix(got, []byte("\x7fELF")), arch)
	}
}
