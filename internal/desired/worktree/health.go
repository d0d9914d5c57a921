package worktree

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/yaml"

	"nave.dev/internal/desired/checks"
	"nave.dev/internal/object"
	"nave.dev/internal/spoke"
)

// Verdict is the health of one object.
type Verdict struct {
	Group     string `json:"group,omitempty"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Status    string `json:"status"`
	Message   string `json:"message"`
	// Check is the kind of rule that decided, and its file if it is a Lua check.
	Check string `json:"check"`
}

// Judge judges objects by the health checks that hold in a fleet with the files of a
// directory, or by those that Nave ships if it is "".
func Judge(ctx context.Context, dir string, objects []*unstructured.Unstructured) ([]Verdict, error) {
	checks, err := checksOf(dir)
	if err != nil {
		return nil, err
	}
	verdicts := make([]Verdict, 0, len(objects))
	for _, u := range objects {
		result := checks.Verdict(ctx, u)
		check := string(result.Source)
		if result.Rule != "" {
			check += " " + result.Rule
		}
		id := object.Of(u)
		verdicts = append(verdicts, Verdict{id.Group, id.Kind, id.Namespace, id.Name, string(result.Status), result.Message, check})
	}
	return verdicts, nil
}

// ReadObjects reads all documents of a file, of which - is standard input. Lists are
// taken apart.
func ReadObjects(name string, stdin io.Reader) ([]*unstructured.Unstructured, error) {
	in := stdin
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("reading the objects: %w\nhint: -f names a file of objects as a cluster has them, such as kubectl get -o yaml prints; - is standard input", err)
		}
		defer file.Close()
		in = file
	}
	return decodeObjects(name, in)
}

func decodeObjects(name string, in io.Reader) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(in, 4096)
	for number := 1; ; number++ {
		var document runtime.RawExtension
		err := decoder.Decode(&document)
		if errors.Is(err, io.EOF) {
			break
		}
		var content map[string]any
		if err == nil && len(document.Raw) > 0 {
			err = json.Unmarshal(document.Raw, &content) // whole numbers as an API server has them
		}
		if err != nil {
			return nil, fmt.Errorf("reading %s: document %d: %w", name, number, err)
		}
		if len(content) == 0 {
			continue
		}
		u := &unstructured.Unstructured{Object: content}
		if u.GetKind() == "" || u.GetAPIVersion() == "" {
			return nil, fmt.Errorf("reading %s: document %d states no apiVersion and kind", name, number)
		}
		if !u.IsList() {
			objects = append(objects, u)
			continue
		}
		err = u.EachListItem(func(item runtime.Object) error {
			objects = append(objects, item.(*unstructured.Unstructured))
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("reading %s: document %d: %w", name, number, err)
		}
	}
	if len(objects) == 0 {
		return nil, fmt.Errorf("there is no object in %s", name)
	}
	return objects, nil
}

// checksOf returns the health checks that hold in a fleet with the files
// of a directory, or those that Nave ships if none is named.
func checksOf(dir string) (spoke.Checker, error) {
	var files fs.FS
	if dir != "" {
		root, err := os.OpenRoot(dir)
		if err != nil {
			return nil, fmt.Errorf("%w\nhint: --repo names the directory of a fleet repository", err)
		}
		defer root.Close()
		files = root.FS()
	}
	return spoke.NewChecker(files, checks.Dir)
}
