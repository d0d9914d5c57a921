package release

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	chart "helm.sh/helm/v4/pkg/chart/v2"
	ri "helm.sh/helm/v4/pkg/release"
	rcommon "helm.sh/helm/v4/pkg/release/common"
	helm "helm.sh/helm/v4/pkg/release/v1"
	"helm.sh/helm/v4/pkg/storage/driver"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"nave.dev/internal/object"
)

// Labels on Helm's records of a release. Helm copies those of a revision to what comes
// of it, by helm upgrade as by a rollback: only a revision of which runLabel names the
// number is one that this package made, and is what wantedLabel says. A rollback of
// this package has the number behind rolledBack.
const (
	wantedLabel = "nave.dev/wanted" // what was wanted
	runLabel    = "nave.dev/run"    // the number of the revision
	ownerLabel  = "nave.dev/owner"  // fleet and app
	testsLabel  = "nave.dev/tests"  // testsPassed or testsFailed
)

const (
	rolledBack = "rollback-"
	brokenOff  = "broken-off"
)

const (
	testsPassed = "passed"
	testsFailed = "failed"
)

// revision is a record of a release, by its metadata.
type revision struct {
	number int
	status string // as Helm calls it
	ours   bool   // this package made it, or began to
	wanted string // empty unless this package made it, and by no rollback
	owner  string // of the last revision that this package made, up to this one
	tests  string
	// changed is when Helm last wrote the record.
	changed time.Time
}

// The states of a revision in Helm's words.
const (
	deployed     = "deployed"
	superseded   = "superseded"
	failed       = "failed"
	uninstalled  = "uninstalled"
	uninstalling = "uninstalling"
)

func (r revision) pending() bool { return strings.HasPrefix(r.status, "pending-") }

// good reports whether a revision worked, so that it can be rolled back to.
func (r revision) good() bool {
	return (r.status == superseded || r.status == deployed) && r.tests != testsFailed
}

// history are the records of a release, the last revision first.
type history []revision

// present reports whether there is a release.
func (h history) present() bool { return len(h) > 0 && h[0].status != uninstalled }

// secrets is where Helm keeps its records.
var secrets = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}

// observe reads the metadata of the records of the release.
func (r *run) observe() (history, error) {
	client, err := r.records.metadata()
	if err != nil {
		return nil, err
	}
	release := r.target.Release
	selector := labels.SelectorFromSet(labels.Set{"owner": "helm", "name": release.Name}).String()
	list, err := client.Resource(secrets).Namespace(r.storage()).List(r.ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return nil, fmt.Errorf("reading the records of the release %s/%s: %w", r.storage(), release.Name, err)
	}
	var seen history
	for i := range list.Items {
		if record, ok := readRevision(&list.Items[i]); ok {
			seen = append(seen, record)
		}
	}
	slices.SortFunc(seen, func(a, b revision) int { return cmp.Compare(b.number, a.number) })
	return seen, nil
}

// RecordLabels select Helm's records among the Secrets of a cluster.
const RecordLabels = "owner=helm"

// RecordOf returns the name of the release that a Secret is a record of, by its
// metadata, and whether somebody else made its revision, which has come to its end.
func RecordOf(m metav1.Object) (name string, foreign bool) {
	labels := m.GetLabels()
	version := labels["version"]
	ours := labels[runLabel] == version || labels[runLabel] == rolledBack+version || labels[runLabel] == brokenOff
	return labels["name"], !ours && (labels["status"] == deployed || labels["status"] == failed || labels["status"] == uninstalled)
}

// readRevision reads a record's metadata. What has no number is no record.
func readRevision(m *metav1.PartialObjectMetadata) (revision, bool) {
	number, err := strconv.Atoi(m.Labels["version"])
	if err != nil {
		return revision{}, false
	}
	record := revision{number: number, status: m.Labels["status"], tests: m.Labels[testsLabel], owner: m.Labels[ownerLabel], changed: m.CreationTimestamp.Time}
	if seconds, err := strconv.ParseInt(m.Labels["modifiedAt"], 10, 64); err == nil {
		record.changed = time.Unix(seconds, 0)
	}
	switch m.Labels[runLabel] {
	case m.Labels["version"]:
		record.ours, record.wanted = true, m.Labels[wantedLabel]
	case rolledBack + m.Labels["version"]:
		record.ours, record.tests = true, ""
	default:
		record.tests = ""
	}
	return record, true
}

// marked are Helm's records, in which rollbacks are marked as this package's, and the
// chart of a revision is the one that it was made of. It tells whether a revision was
// recorded.
type marked struct {
	*driver.Secrets
	owner    string
	recorded bool
	// chart is recorded of a revision that Helm made of shown.
	chart, shown *chart.Chart
}

// Create implements driver.Creator.
func (m *marked) Create(key string, record ri.Releaser) error {
	if release, ok := record.(*helm.Release); ok && m.shown != nil && release.Chart == m.shown {
		release.Chart = m.chart
	}
	if release, ok := record.(*helm.Release); ok && release.Info != nil && release.Info.Status == rcommon.StatusPendingRollback {
		release.Labels = maps.Clone(release.Labels) // which are those of the revision that is gone back to
		if release.Labels == nil {
			release.Labels = map[string]string{}
		}
		release.Labels[runLabel], release.Labels[ownerLabel] = rolledBack+strconv.Itoa(release.Version), m.owner
	}
	err := m.Secrets.Create(key, record)
	m.recorded = m.recorded || err == nil
	return err
}

// labels are those of a revision that is about to be made.
func (r *run) labels(number int) map[string]string {
	return map[string]string{
		wantedLabel: r.wanted, runLabel: strconv.Itoa(number), ownerLabel: r.owner(),
		testsLabel: "null", // not those of the revision before
	}
}

// owner names fleet and app as a label.
func (r *run) owner() string { return r.ownerOf(r.target.App) }

func (r *run) ownerOf(name string) string {
	return object.Digest([]byte(r.client.options.Fleet), []byte(name))
}

// contested refuses a release that another app of the cluster has as well: the one that
// made its last revision keeps it.
func (r *run) contested(seen history) error {
	if r.target.ClaimedBy == nil || !seen.present() {
		return nil
	}
	other, claimed := r.target.ClaimedBy(r.target.Release.ID())
	if !claimed || seen[0].owner != r.ownerOf(other) {
		return nil
	}
	return fmt.Errorf("the release %s/%s is that of the app %q\nhint: give one of the two another name of the release", r.storage(), r.target.Release.Name, other)
}
