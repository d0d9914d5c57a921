package releases

import (
	"fmt"
	"os"
	"testing"

	"nave.dev/internal/render"
	"nave.dev/internal/testenv"
)

// TestMain lets the test binary be its own render worker.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "render-worker" {
		if err := render.ServeWorker(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	testenv.Main(m)
}
