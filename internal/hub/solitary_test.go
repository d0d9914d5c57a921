package hub

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"nave.dev/internal/hub/alone"
	"nave.dev/internal/spoke"
)

// lonely is a world without a hub: the agent of the cluster "one" follows Git itself.
func lonely(t *testing.T) *world {
	w := newWorld(t)
	w.alone = &alone.Cluster{Name: "one", Config: w.env.Config}
	forget := func() {
		err := w.person.CoreV1().Secrets(spoke.Namespace).DeleteCollection(w.Context(), metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "nave.dev/kept"})
		if err != nil {
			t.Error(err)
		}
	}
	forget()
	return w
}

// forgetDisk starts the next agent with an empty disk.
func (w *world) forgetDisk() {
	w.Helper()
	if err := os.RemoveAll(w.dir); err != nil {
		w.Fatal(err)
	}
}

// TestAlone takes a cluster over from a hub: nothing is applied again, only the one
// cluster is looked at, and with an empty disk and without Git drift is undone.
func TestAlone(t *testing.T) {
	w := lonely(t)
	files := w.fleet()
	files["clusters/two.yaml"] = strings.ReplaceAll(files["clusters/one.yaml"], "one", "two")
	commit := w.commit(files)
	own := w.alone
	w.alone = nil
	w.kubeconfig(w.right())
	w.start()
	w.until("the hub has applied", func() bool { value, _ := w.object("b"); return value == "1" })
	w.until("the hub is done", func() bool {
		fleet := w.state()
		return len(fleet.Clusters) == 2 && fleet.Clusters[0].Sync == spoke.Synced
	})
	_, before := w.object("a")
	w.stop()

	w.forgetDisk()
	w.alone = own
	w.start()
	w.synced(commit) // wants it to be the only cluster
	if _, after := w.object("a"); after != before {
		t.Errorf("a is of version %s and was of %s: it was applied again", after, before)
	}
	w.ask(http.MethodPost, "pause", Action{App: "b", For: time.Hour, Actor: "tess", Reason: "a test"}, &Outcome{})
	w.stop()

	w.forgetDisk()
	if err := os.Rename(w.repository, w.repository+".away"); err != nil {
		t.Fatal(err)
	}
	w.delete("a")
	w.start()
	w.until("drift is undone without Git and disk", func() bool { value, _ := w.object("a"); return value == "1" })
	if err := os.Rename(w.repository+".away", w.repository); err != nil {
		t.Fatal(err)
	}
	w.commit(map[string]string{"a/map.yaml": configMap("a", "2"), "b/map.yaml": configMap("b", "2")})
	w.refresh()
	w.until("Git is followed again", func() bool { value, _ := w.object("a"); return value == "2" })
	if value, _ := w.object("b"); value != "1" {
		t.Errorf("b = %q, though it was paused before", value)
	}
}

// TestAloneBesideAnother: whoever does not hold the lease writes nothing, and does not
// have the cluster keep anything.
func TestAloneBesideAnother(t *testing.T) {
	w := lonely(t)
	commit := w.commit(w.fleet())
	w.start()
	w.synced(commit)
	kept := func() string {
		secret, err := w.person.CoreV1().Secrets(spoke.Namespace).Get(t.Context(), "nave-kept", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return secret.ResourceVersion
	}
	before := kept()

	dir, err := os.MkdirTemp("", "hub") // paths of sockets must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	other := &world{T: t, repository: w.repository, dir: dir, namespace: w.namespace, env: w.env, person: w.person, alone: w.alone}
	w.commit(map[string]string{"a/map.yaml": configMap("a", "2")})
	other.start()
	other.until("the other says who writes", func() bool {
		fleet := other.state()
		return len(fleet.Clusters) == 1 && fleet.Clusters[0].Holder != "" && len(fleet.Clusters[0].Apps) == 2
	})
	if other.state().Clusters[0].Writer {
		t.Error("both write")
	}
	if value, _ := w.object("a"); value != "1" {
		t.Errorf("a = %q: the other wrote beside the first", value)
	}
	if after := kept(); after != before {
		t.Error("the other had the cluster keep something")
	}
	w.stop()
	other.until("the other takes over", func() bool { value, _ := w.object("a"); return value == "2" })
	other.until("the cluster keeps what the other has", func() bool { return kept() != before })
}

// TestAloneWithoutItsCluster says that the fleet does not have it, and keeps others out.
func TestAloneWithoutItsCluster(t *testing.T) {
	w := lonely(t)
	w.alone.Name = "absent"
	w.commit(w.fleet())
	w.start()
	w.until("it says so", func() bool { return strings.Contains(w.state().Revision.Error, `the fleet has no cluster "absent"`) })
	if value, _ := w.object("a"); value != "" {
		t.Error("the cluster was given what is another's")
	}
}
