package hub

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"nave.dev/internal/hub/pausing"
	"nave.dev/internal/spoke"
)

// TestPauseOutlivesItsRecord deletes the record of a paused cluster while no hub
// is there.
func TestPauseOutlivesItsRecord(t *testing.T) {
	w := newWorld(t)
	w.kubeconfig(w.right())
	w.commit(w.fleet())
	w.start()
	w.synced(w.git("rev-parse", "HEAD"))
	w.ask(http.MethodPost, "pause", Action{App: "a", For: time.Hour, Actor: "tess", Reason: "a test"}, &Outcome{})
	w.stop()
	if err := w.person.CoreV1().Secrets(spoke.Namespace).Delete(t.Context(), "nave-record", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	w.commit(map[string]string{"a/map.yaml": configMap("a", "2"), "b/map.yaml": configMap("b", "2")})
	w.start()
	w.until("the other app is applied", func() bool { value, _ := w.object("b"); return value == "2" })
	w.until("the pause is on record again", func() bool {
		record, err := w.person.CoreV1().Secrets(spoke.Namespace).Get(t.Context(), "nave-record", metav1.GetOptions{})
		return err == nil && strings.Contains(string(record.Data["record.json"]), "tess")
	})
	if value, _ := w.object("a"); value != "1" {
		t.Errorf("a = %q, though it is paused", value)
	}
	w.ahead.Store(int64(2 * time.Hour))
	w.until("its time is over", func() bool { value, _ := w.object("a"); return value == "2" })
	w.refresh()
	w.until("it is kept no longer", func() bool {
		data, err := os.ReadFile(filepath.Join(w.dir, pausing.File))
		return err == nil && string(data) == "{}"
	})
}
