package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"time"
)

// listen serves what tells of the process: /healthz says that it works, whether or not
// there is a hub; /readyz that the cluster answered what it keeps, so that the agent
// does its work; /metrics is for Prometheus.
func (a *agent) listen(ctx context.Context) error {
	if a.opts.Listen == "" {
		return nil
	}
	listener, err := net.Listen("tcp", a.opts.Listen)
	if err != nil {
		return fmt.Errorf("listening for health and metrics: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		a.mu.Lock()
		connected := a.conn != nil
		a.mu.Unlock()
		answer(w, map[string]bool{"connected": connected}, nil)
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		a.mu.Lock()
		defer a.mu.Unlock()
		if !a.resumed {
			http.Error(w, errBegins.Error(), http.StatusServiceUnavailable)
		}
	})
	mux.Handle("GET /metrics", a.tells.handler())
	if a.opts.Profiles {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, WriteTimeout: 2 * time.Minute} // a profile takes half a minute
	stop := context.AfterFunc(ctx, func() { server.Close() })
	a.spokes.Go(func() {
		defer stop()
		server.Serve(listener)
	})
	return nil
}

var errBegins = errors.New("the cluster has not said yet what it keeps")
