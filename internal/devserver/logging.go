package devserver

import (
	"io"
	"slices"
	"strings"

	"go.temporal.io/server/common/log"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// newLogger writes text, a line per entry.
func newLogger(w io.Writer, level zap.AtomicLevel) log.Logger {
	encoder := zapcore.NewConsoleEncoder(log.DefaultZapEncoderConfig)
	core := zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(w)), level)
	return log.NewZapLogger(zap.New(withoutNoise{core}))
}

// logLevel is the least level that is logged.
type logLevel struct{ level zap.AtomicLevel }

// expectStop silences services that complain of losing sight of each other
// when a server stops. Who asked for more than warnings still gets it all.
func (l logLevel) expectStop() {
	if l.level.Level() >= zapcore.WarnLevel {
		l.level.SetLevel(zapcore.FatalLevel)
	}
}

// ofNoUse are what a start logs, as a warning or an error, that nobody can do anything about:
// the recommendation of an HTTP API that was not asked for, and what the services that are up
// first say about the last one.
var ofNoUse = []string{"HTTP API port has not been set", "Frontend is not healthy yet"}

// withoutNoise is a core that leaves out what is ofNoUse.
type withoutNoise struct{ zapcore.Core }

// With keeps leaving it out in loggers with fields.
func (c withoutNoise) With(fields []zapcore.Field) zapcore.Core {
	return withoutNoise{c.Core.With(fields)}
}

// Check decides whether an entry may be written.
func (c withoutNoise) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(entry.Level) {
		return checked.AddCore(entry, c)
	}
	return checked
}

// Write writes an entry unless its message or its error is ofNoUse.
func (c withoutNoise) Write(entry zapcore.Entry, fields []zapcore.Field) error {
	said := entry.Message
	for _, f := range fields {
		said += "\n" + f.String
		if err, ok := f.Interface.(error); ok {
			said += "\n" + err.Error()
		}
	}
	if slices.ContainsFunc(ofNoUse, func(noise string) bool { return strings.Contains(said, noise) }) {
		return nil
	}
	return c.Core.Write(entry, fields)
}
