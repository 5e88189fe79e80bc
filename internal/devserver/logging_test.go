package devserver

import (
	"bytes"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"go.temporal.io/server/common/log/tag"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

func TestAStartLogsNothingThatNobodyCanActOn(t *testing.T) {
	var out bytes.Buffer
	logger := newLogger(&out, zap.NewAtomicLevelAt(zapcore.WarnLevel))
	logger.Warn("HTTP API port has not been set, and so on")
	logger.Error("service failures", tag.Error(errors.New("Frontend is not healthy yet")))
	logger.Warn("error creating sdk client", tag.Error(errors.New("failed reaching server: Frontend is not healthy yet")))
	logger.Info("started")
	assert.Empty(t, out.String())

	logger.Error("service failures", tag.Error(errors.New("disk full")))
	assert.Contains(t, out.String(), "disk full")
}
