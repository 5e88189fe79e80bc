package devserver

import (
	"io"
	"strings"

	"go.temporal.io/server/common/log"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// newLogger writes text, a line per entry.
func newLogger(w io.Writer, level zap.AtomicLevel) log.Logger {
	encoder := zapcore.NewConsoleEncoder(log.DefaultZapEncoderConfig)
	core := zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(w)), level)
	return log.NewZapLogger(zap.New(withoutAdvice{core}))
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

// withoutAdvice is a core that leaves out a warning of every start, which
// recommends the HTTP API that was not asked for.
type withoutAdvice struct{ zapcore.Core }

// With keeps leaving it out in loggers with fields.
func (c withoutAdvice) With(fields []zapcore.Field) zapcore.Core {
	return withoutAdvice{c.Core.With(fields)}
}

// Check decides whether an entry is written.
func (c withoutAdvice) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if entry.Level == zapcore.WarnLevel && strings.HasPrefix(entry.Message, "HTTP API port has not been set") {
		return checked
	}
	return c.Core.Check(entry, checked)
}
