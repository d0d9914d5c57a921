package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"nave.dev/internal/desired/worktree"
)

// TestHealthOfArgoCD asks the command about every object in the tests of the checks that Argo CD ships, as a user would:
// status and message are those that these tests state.
func TestHealthOfArgoCD(t *testing.T) {
	listed, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/argoproj/argo-cd/v3").Output()
	dir := filepath.Join(strings.TrimSpace(string(listed)), "resource_customizations")
	if err == nil {
		_, err = os.Stat(dir)
	}
	if err != nil {
		t.Skipf("Argo CD's module is not in the module cache; run go mod download github.com/argoproj/argo-cd/v3: %v", err)
	}
	files, cases := 0, 0
	err = filepath.WalkDir(dir, func(file string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Base(file) != "health_test.yaml" {
			return err
		}
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		var suite struct {
			Tests []struct {
				InputPath    string `json:"inputPath"`
				HealthStatus struct {
					Status  string `json:"status"`
					Message string `json:"message"`
				} `json:"healthStatus"`
			} `json:"tests"`
		}
		if err := yaml.Unmarshal(data, &suite); err != nil {
			return err
		}
		files++
		for _, test := range suite.Tests {
			cases++
			input := filepath.Join(filepath.Dir(file), test.InputPath)
			have := healthOf(t, input)
			if len(have) != 1 || have[0].Status != test.HealthStatus.Status || have[0].Message != test.HealthStatus.Message {
				t.Errorf("%s:\n%+v, want\n%+v", strings.TrimPrefix(input, dir+"/"), have, test.HealthStatus)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d objects of %d checks", cases, files)
	if files != 238 || cases != 1142 {
		t.Errorf("%d objects of %d checks: docs/health.md states others", cases, files)
	}
}

// healthOf runs the command on a file.
func healthOf(t *testing.T, file string) []worktree.Verdict {
	t.Helper()
	command := New("test", nil)
	var out bytes.Buffer
	command.SetOut(&out)
	command.SetArgs([]string{"health", "-f", file, "-o", "json"})
	err := command.ExecuteContext(t.Context())
	var ill *NotSoError
	if err != nil && !errors.As(err, &ill) {
		t.Errorf("%s: %v", file, err)
		return nil
	}
	var verdicts []worktree.Verdict
	if err := json.Unmarshal(out.Bytes(), &verdicts); err != nil {
		t.Errorf("%s: %v", file, err)
	}
	for _, v := range verdicts {
		if well := v.Status == "Healthy" || v.Status == "Suspended"; well == (err != nil) {
			t.Errorf("%s: %s, and the command says %v", file, v.Status, err)
		}
	}
	return verdicts
}
