package record

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// FuzzRecord reads records as anybody with rights in the cluster may have left
// them. What can be read is written again as it was read.
func FuzzRecord(f *testing.F) {
	for _, seed := range []string{
		`{"fleet":"f","number":3,"digest":"d","kinds":{"web":["ConfigMap","Deployment.apps"]},"applied":["web"],"digestKey":"a2V5"}`,
		`{"pauses":[{"app":"web","until":"2030-01-01T00:00:00Z","actor":"a","reason":"r"},{"until":"9999-12-31T23:59:59.999999999-23:59"}]}`,
		`{"kinds":{"":["",".","..a","a.b.c"],"x":null}}`, `{"confirmed":{"web":""},"number":-1}`, `null`, `[]`, `{`, "",
	} {
		f.Add([]byte(seed), "web")
	}
	f.Fuzz(func(t *testing.T, data []byte, app string) {
		r, err := decode(data)
		if err != nil {
			return
		}
		now := time.Unix(1_800_000_000, 0)
		if pause, paused := r.PausedBy(app, now); paused && (pause.String() == "" || pause.App != "" && pause.App != app) {
			t.Errorf("%q is paused by %+v", app, pause)
		}
		all := map[schema.GroupKind]bool{}
		for _, kind := range (&Store{Record: r}).Kinds() {
			all[kind] = true
		}
		for _, kind := range r.KindsOf(app) {
			if !all[kind] {
				t.Errorf("the app has %v, and all apps together have not", kind)
			}
		}
		r.AddKinds(app, []schema.GroupKind{{Group: "apps", Kind: "Deployment"}})
		written, err := json.Marshal(r)
		if err != nil {
			return // a time that only reading allows
		}
		again, err := decode(written)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v\n%s", err, written)
		}
		if written, err = json.Marshal(again); err != nil {
			t.Fatal(err)
		}
		twice, err := decode(written)
		if diff := cmp.Diff(again, twice, cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Errorf("written again it is another: %v\n%s", err, diff)
		}
	})
}
