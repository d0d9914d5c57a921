package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/yaml"

	"nave.dev/internal/desired/checks"
	"nave.dev/internal/object"
	"nave.dev/internal/spoke"
)

func newHealth(s *settings) *cobra.Command {
	var file, repo string
	command := s.outputFlag(&cobra.Command{
		Use:   "health -f FILE [--repo DIR]",
		Short: "Show the health of objects in a file, as Nave judges it, and by which check",
		Long: `health judges objects as they were read from a cluster, status and all, without a
cluster or a hub. With --repo, the health checks of that fleet repository come
before those that Nave ships. With -o json each is an object of group (if any),
kind, namespace, name, status, message and check.

Exit code 3 says that an object is neither Healthy nor Suspended.`,
		Example: "  kubectl get deployment web -o yaml | nave health -f -\n  nave health -f dump.yaml --repo . -o json",
		Args:    arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			objects, err := readObjects(file, cmd.InOrStdin())
			if err != nil {
				return err
			}
			checks, err := repositoryChecks(repo)
			if err != nil {
				return err
			}
			verdicts := judge(cmd.Context(), checks, objects)
			if err := s.print(cmd.OutOrStdout(), verdicts, func(w io.Writer) { writeVerdicts(w, verdicts) }); err != nil {
				return err
			}
			return verdictAnswer(verdicts)
		},
	})
	command.Flags().StringVarP(&file, "filename", "f", "", "file of objects, as YAML or JSON; - is standard input")
	command.Flags().StringVar(&repo, "repo", "", "directory of a fleet repository whose health checks are to count")
	command.MarkFlagRequired("filename")
	return command
}

// readObjects reads all documents of a file. Lists are taken apart.
func readObjects(name string, stdin io.Reader) ([]*unstructured.Unstructured, error) {
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

// repositoryChecks returns the health checks that hold in a fleet with the files
// of a directory, or those that Nave ships if none is named.
func repositoryChecks(dir string) (spoke.Checker, error) {
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

// verdict is the health of one object.
type verdict struct {
	Group     string `json:"group,omitempty"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Status    string `json:"status"`
	Message   string `json:"message"`
	// Check is the kind of rule that decided, and its file if it is a Lua check.
	Check string `json:"check"`
}

func judge(ctx context.Context, checks spoke.Checker, objects []*unstructured.Unstructured) []verdict {
	verdicts := make([]verdict, 0, len(objects))
	for _, u := range objects {
		result := checks.Verdict(ctx, u)
		check := string(result.Source)
		if result.Rule != "" {
			check += " " + result.Rule
		}
		id := object.Of(u)
		verdicts = append(verdicts, verdict{id.Group, id.Kind, id.Namespace, id.Name, string(result.Status), result.Message, check})
	}
	return verdicts
}

func writeVerdicts(w io.Writer, verdicts []verdict) {
	fmt.Fprintln(w, "OBJECT\tSTATUS\tCHECK\tMESSAGE")
	for _, v := range verdicts {
		id := object.ID{Group: v.Group, Kind: v.Kind, Namespace: v.Namespace, Name: v.Name}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", id, v.Status, v.Check, firstLine(v.Message))
	}
}

// verdictAnswer is no error if no object has anything wrong.
func verdictAnswer(verdicts []verdict) error {
	ill := 0
	for _, v := range verdicts {
		if v.Status != "Healthy" && v.Status != "Suspended" {
			ill++
		}
	}
	if ill > 0 {
		return &NotSoError{fmt.Sprintf("%d of %s not healthy", ill, count(len(verdicts), "object"))}
	}
	return nil
}
