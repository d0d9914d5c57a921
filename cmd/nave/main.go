// Command nave runs a fleet of Kubernetes clusters from one Git repository.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"nave.dev/internal/cli"
	"nave.dev/internal/heap"
	"nave.dev/internal/program"
	"nave.dev/internal/render"
)

// renderWorker is the argument with which nave starts itself to render.
const renderWorker = "render-worker"

func main() {
	if len(os.Args) == 2 && os.Args[1] == renderWorker {
		if err := render.ServeWorker(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "nave: rendering:", err)
			os.Exit(1)
		}
		return
	}
	if os.Getenv("GOGC") == "" {
		heap.Pace()
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var worker []string
	if self, err := os.Executable(); err == nil {
		worker = []string{self, renderWorker}
	}
	err := cli.New(program.Version(), worker).ExecuteContext(ctx)
	os.Exit(cli.Report(ctx, err, os.Stderr))
}
