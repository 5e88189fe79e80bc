package devserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/server/common"
)

const (
	readyTimeout  = time.Minute
	probeInterval = 20 * time.Millisecond
)

// awaitReady returns once every probe has succeeded, or with what the last one
// said when that takes longer than readyTimeout.
func (s *Server) awaitReady(ctx context.Context, namespaces []string) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	c, err := client.NewLazyClient(client.Options{
		HostPort: s.address,
		Logger:   sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
	if err != nil {
		return fmt.Errorf("connect to the server just started: %w", err)
	}
	defer c.Close()
	if err := poll(ctx, func() error { return probeFrontend(ctx, c) }); err != nil {
		return err
	}
	for _, namespace := range namespaces {
		if err := poll(ctx, func() error { return probeNamespace(ctx, c.WorkflowService(), namespace) }); err != nil {
			return err
		}
	}
	if s.ui == nil {
		return nil
	}
	return poll(ctx, func() error { return s.probeUI(ctx, namespaces[0]) })
}

// poll repeats probe until it succeeds or ctx ends.
func poll(ctx context.Context, probe func() error) error {
	ticker := time.NewTicker(probeInterval)
	defer ticker.Stop()
	for {
		err := probe()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the server did not become ready (%w): %w", ctx.Err(), err)
		case <-ticker.C:
		}
	}
}

func probeFrontend(ctx context.Context, c client.Client) error {
	if _, err := c.CheckHealth(ctx, &client.CheckHealthRequest{}); err != nil {
		return fmt.Errorf("health check: %w", err)
	}
	return nil
}

// probeNamespace asks every shard for a workflow that doesn't exist. A shard
// that can say so can also start one, and nothing is left behind.
func probeNamespace(ctx context.Context, svc workflowservice.WorkflowServiceClient, namespace string) error {
	ns, err := svc.DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: namespace})
	if err != nil {
		return fmt.Errorf("namespace %q: %w", namespace, err)
	}
	seen := map[int32]bool{}
	for i := 0; len(seen) < shards; i++ {
		id := "drover-devserver/ready/" + strconv.Itoa(i)
		shard := common.WorkflowIDToHistoryShard(ns.GetNamespaceInfo().GetId(), id, shards)
		if seen[shard] {
			continue
		}
		seen[shard] = true
		_, err := svc.DescribeWorkflowExecution(ctx, &workflowservice.DescribeWorkflowExecutionRequest{
			Namespace: namespace,
			Execution: &commonpb.WorkflowExecution{WorkflowId: id},
		})
		if notFound := new(serviceerror.NotFound); !errors.As(err, &notFound) {
			return fmt.Errorf("namespace %q, shard %d: %w", namespace, shard, err)
		}
	}
	_, err = svc.CountWorkflowExecutions(ctx, &workflowservice.CountWorkflowExecutionsRequest{Namespace: namespace})
	if err != nil {
		return fmt.Errorf("namespace %q, visibility: %w", namespace, err)
	}
	return nil
}

// probeUI asks for the page and, through the UI, the server for a namespace.
func (s *Server) probeUI(ctx context.Context, namespace string) error {
	for _, path := range []string{"/namespaces/" + namespace + "/workflows", "/api/v1/namespaces/" + namespace} {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.uiURL+path, nil)
		if err != nil {
			return err
		}
		resp, err := probeClient.Do(req)
		if err != nil {
			return fmt.Errorf("web UI: %w", err)
		}
		if err := resp.Body.Close(); err != nil {
			return fmt.Errorf("web UI: %w", err)
		}
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("web UI: %s: %s", req.URL, resp.Status)
		}
	}
	return nil
}
