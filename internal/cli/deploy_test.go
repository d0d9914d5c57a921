package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/yaml"
)

// What is under deploy/, and with that the chart, starts nave with arguments that
// it knows.
func TestDeployedArguments(t *testing.T) {
	files, err := filepath.Glob("../../deploy/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no manifests: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, part := range strings.Split(string(data), "\n---\n") {
			var deployment appsv1.Deployment
			if err := yaml.Unmarshal([]byte(part), &deployment); err != nil || deployment.Kind != "Deployment" {
				continue
			}
			found = true
			command, args, err := New("test", nil).Find(deployment.Spec.Template.Spec.Containers[0].Args)
			if err == nil {
				err = command.ParseFlags(args)
			}
			if err == nil {
				err = command.ValidateRequiredFlags()
			}
			if err == nil {
				err = command.ValidateArgs(command.Flags().Args())
			}
			if err != nil || !command.HasParent() {
				t.Errorf("%s: %s: %v", file, command.Name(), err)
			}
		}
		if !found {
			t.Errorf("%s has no Deployment", file)
		}
	}
}

// A service of systemd starts nave as it can be started, too.
func TestServiceArguments(t *testing.T) {
	data, err := os.ReadFile("../../deploy/nave-hub.service")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(data), "\nExecStart=/usr/local/bin/nave ")
	if !found {
		t.Fatal("it starts no nave")
	}
	line, _, _ := strings.Cut(strings.ReplaceAll(rest, "\\\n", ""), "\n")
	command, args, err := New("test", nil).Find(strings.Fields(line))
	if err == nil {
		err = command.ParseFlags(args)
	}
	if err == nil {
		err = command.ValidateRequiredFlags()
	}
	if err != nil || command.Name() != "hub" {
		t.Errorf("%s %q: %v", command.Name(), args, err)
	}
}
