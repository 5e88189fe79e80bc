package devserver

import (
	"time"

	dc "go.temporal.io/server/common/dynamicconfig"
)

const (
	// pollRPS is how often a second a shard may look into each of its queues.
	// The default of 20 makes every task of a quiet workflow wait up to 50 ms.
	pollRPS = 5000
	// unlimited is a rate, or a number of requests at a time, that this server
	// never reaches.
	unlimited = 100_000
)

// dynamicConfig makes the server prompt, as on a developer's machine a single
// client is all there is to serve, and lifts the limits that protect one
// tenant from another.
func dynamicConfig() dc.StaticClient {
	return dc.StaticClient{
		dc.TransferProcessorMaxPollRPS.Key():   pollRPS,
		dc.TimerProcessorMaxPollRPS.Key():      pollRPS,
		dc.VisibilityProcessorMaxPollRPS.Key(): pollRPS,
		dc.OutboundProcessorMaxPollRPS.Key():   pollRPS,
		// Timers and retries fire up to this much late; the default is a second.
		dc.TimerProcessorMaxTimeShift.Key(): 10 * time.Millisecond,

		// A cancelled activity is told at once and not with its next heartbeat.
		dc.WorkerCommandsEnabled.Key():                true,
		dc.EnableCancelActivityWorkerCommand.Key():    true,
		dc.OutboundQueueHostSchedulerMaxTaskRPS.Key(): float64(unlimited),

		dc.EnableActivityEagerExecution.Key():                       true,
		dc.EnableEagerWorkflowStart.Key():                           true,
		dc.FrontendEnableUpdateWorkflowExecution.Key():              true,
		dc.FrontendEnableUpdateWorkflowExecutionAsyncAccepted.Key(): true,

		// Several people and workers may ask a workflow while it is in a task; by default the
		// second question is refused, and asked again a second or more later.
		dc.MaxBufferedQueryCount.Key(): 100,

		// A search attribute can be used as soon as it is registered.
		dc.ForceSearchAttributesCacheRefreshOnRead.Key(): true,
		dc.NamespaceCacheRefreshInterval.Key():           time.Second,

		// One process: partitions of a task queue would only forward to each other.
		dc.MatchingNumTaskqueueReadPartitions.Key():  1,
		dc.MatchingNumTaskqueueWritePartitions.Key(): 1,

		dc.FrontendRPS.Key():                                         unlimited,
		dc.FrontendMaxNamespaceRPSPerInstance.Key():                  unlimited,
		dc.FrontendMaxNamespaceVisibilityRPSPerInstance.Key():        unlimited,
		dc.FrontendMaxConcurrentLongRunningRequestsPerInstance.Key(): unlimited,
		dc.FrontendPersistenceMaxQPS.Key():                           unlimited,
		dc.HistoryRPS.Key():                                          unlimited,
		dc.HistoryPersistenceMaxQPS.Key():                            unlimited,
		dc.MatchingRPS.Key():                                         unlimited,
		dc.MatchingPersistenceMaxQPS.Key():                           unlimited,
		dc.WorkerPersistenceMaxQPS.Key():                             unlimited,
		dc.VisibilityPersistenceMaxReadQPS.Key():                     unlimited,
		dc.VisibilityPersistenceMaxWriteQPS.Key():                    unlimited,

		// The defaults are for machines that do nothing else.
		dc.HistoryCacheHostLevelMaxSize.Key(): 8192,
	}
}
