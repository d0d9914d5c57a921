package releases

import "nave.dev/internal/render"

// NewRenderer returns a Renderer for who has none beside: it runs templates in
// processes of the command, which calls render.ServeWorker, and keeps nothing on the
// disk. Its Close ends them.
func NewRenderer(worker []string) *render.Renderer {
	return render.New(render.Options{WorkerCommand: worker})
}
