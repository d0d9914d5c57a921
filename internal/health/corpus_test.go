package health

import (
	"io/fs"
	"path"
	"strings"
	"testing"

	"github.com/argoproj/argo-cd/v3/resource_customizations"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"
)

// readObject reads a YAML file the way an object arrives from an API server: integers are int64.
func readObject(t testing.TB, data []byte) *unstructured.Unstructured {
	t.Helper()
	text, err := yaml.YAMLToJSON(data)
	if err != nil {
		t.Fatal(err)
	}
	obj := &unstructured.Unstructured{}
	if err := json.Unmarshal(text, &obj.Object); err != nil {
		t.Fatal(err)
	}
	return obj
}

func newChecker(t testing.TB, opts Options) *Checker {
	t.Helper()
	c, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestArgoCDCorpus runs every check that Argo CD ships over the test data that it ships with it. Both are embedded in
// its package, so the test needs no files and moves along with the version.
func TestArgoCDCorpus(t *testing.T) {
	c := newChecker(t, Options{})
	scripts, cases := 0, 0
	err := fs.WalkDir(resource_customizations.Embedded, ".", func(file string, _ fs.DirEntry, err error) error {
		if err != nil || path.Base(file) != "health_test.yaml" {
			return err
		}
		scripts++
		data, err := fs.ReadFile(resource_customizations.Embedded, file)
		if err != nil {
			return err
		}
		var suite struct {
			Tests []struct {
				InputPath    string `json:"inputPath"`
				HealthStatus struct {
					Status  Status `json:"status"`
					Message string `json:"message"`
				} `json:"healthStatus"`
			} `json:"tests"`
		}
		if err := yaml.Unmarshal(data, &suite); err != nil {
			t.Errorf("%s: %v", file, err)
			return nil
		}
		for _, test := range suite.Tests {
			cases++
			input := path.Join(path.Dir(file), test.InputPath)
			data, err := fs.ReadFile(resource_customizations.Embedded, input)
			if err != nil {
				return err
			}
			obj := readObject(t, data)
			before := obj.DeepCopy()
			script := c.embedded.find(obj.GroupVersionKind().GroupKind())
			if script == nil {
				t.Errorf("%s: no check found for %s", input, obj.GroupVersionKind())
				continue
			}
			result, decided := c.runScript(t.Context(), script, obj.Object)
			want := test.HealthStatus
			switch {
			case !decided && want.Status == "":
			case result.Status != want.Status:
				t.Errorf("%s: status %s (%s), want %s", input, result.Status, result.Message, want.Status)
			case result.Message != want.Message && !strings.Contains(result.Message, "which is none"):
				t.Errorf("%s: message\n%q, want\n%q", input, result.Message, want.Message)
			}
			if got := c.Verdict(t.Context(), obj); decided && got.Status != want.Status {
				t.Errorf("%s: Verdict says %s, want %s", input, got.Status, want.Status)
			}
			if obj.GetDeletionTimestamp() != nil && want.Status == Healthy {
				want.Status = Progressing
			}
			if got := c.Check(t.Context(), obj); decided && got.Status != want.Status {
				t.Errorf("%s: Check says %s, want %s", input, got.Status, want.Status)
			}
			if !equalObjects(before, obj) {
				t.Errorf("%s: the object was changed", input)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d scripts, %d cases", scripts, cases)
	if scripts < 200 || cases < 1000 {
		t.Errorf("%d scripts and %d cases, want at least 200 and 1000: the corpus is not where it was", scripts, cases)
	}
}

func equalObjects(a, b *unstructured.Unstructured) bool {
	left, errLeft := json.Marshal(a.Object)
	right, errRight := json.Marshal(b.Object)
	return errLeft == nil && errRight == nil && string(left) == string(right)
}
