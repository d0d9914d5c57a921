package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

// inFlight is how many requests the floor sends to a cluster at once: as many as
// nave may.
const inFlight = 16

// stated is an object as the floor applies it.
type stated struct {
	place
	content []byte
}

// wanted returns what every cluster should hold of a fleet, as nave itself renders it,
// with marks as long as those that nave adds. What releases come to it does not render.
func (s *site) wanted(ctx context.Context, f fleet) (map[string][]stated, error) {
	all := map[string][]stated{}
	for _, cluster := range s.clusters {
		if f.by == releases {
			var err error
			if all[cluster], err = f.released(cluster); err != nil {
				return nil, fmt.Errorf("reading what is released on %s: %w", cluster, err)
			}
			continue
		}
		cmd := exec.CommandContext(ctx, s.nave(), "render", "--cluster", cluster, "--repo", s.repository(), "--dir", filepath.Join(s.dir, "render"))
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("rendering for %s: %w: %s", cluster, err, stderr.String())
		}
		if all[cluster], err = decode(cluster, out); err != nil {
			return nil, fmt.Errorf("reading what was rendered for %s: %w", cluster, err)
		}
	}
	return all, nil
}

// decode reads the documents of nave render.
func decode(cluster string, text []byte) (objects []stated, err error) {
	reader := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	for {
		u := &unstructured.Unstructured{}
		if err := reader.Decode(&u.Object); errors.Is(err, io.EOF) {
			return objects, nil
		} else if err != nil {
			return nil, err
		}
		if len(u.Object) == 0 {
			continue
		}
		at := place{cluster, u.GetKind(), u.GetNamespace(), u.GetName()}
		labels, annotations := u.GetLabels(), u.GetAnnotations()
		if labels == nil {
			labels = map[string]string{}
		}
		labels["floor.dev/app"] = at.name
		annotations["floor.dev/identity"] = fmt.Sprintf("bench/%s/%s/%s/%s", at.name, at.kind, at.namespace, at.name)
		u.SetLabels(labels)
		u.SetAnnotations(annotations)
		content, err := json.Marshal(u.Object)
		if err != nil {
			return nil, err
		}
		objects = append(objects, stated{at, content})
	}
}

// applyAll is the floor: it server-side applies all objects of all clusters, and
// does nothing else.
func applyAll(ctx context.Context, clusters map[string]*rest.Config, objects map[string][]stated) error {
	var (
		mu    sync.Mutex
		errs  error
		group sync.WaitGroup
		force = true
	)
	for cluster, config := range clusters {
		client, err := dynamic.NewForConfig(config)
		if err != nil {
			return err
		}
		queue := make(chan stated)
		for range inFlight {
			group.Go(func() {
				for object := range queue {
					_, err := client.Resource(resources[object.kind]).Namespace(object.namespace).Patch(ctx, object.name, types.ApplyPatchType,
						object.content, metav1.PatchOptions{FieldManager: "floor", Force: &force})
					if err != nil {
						mu.Lock()
						errs = errors.Join(errs, fmt.Errorf("applying %s %s on %s: %w", object.kind, object.name, cluster, err))
						mu.Unlock()
					}
				}
			})
		}
		group.Go(func() {
			defer close(queue)
			for _, object := range objects[cluster] {
				queue <- object
			}
		})
	}
	group.Wait()
	return errs
}

// expected says where the objects are to be seen, at their revisions. Records of
// releases, which are the only Secrets, have none.
func expected(objects map[string][]stated) map[place]string {
	want := map[place]string{}
	for _, list := range objects {
		for _, object := range list {
			if object.kind != "Secret" {
				want[object.place] = "1"
			}
		}
	}
	return want
}

// self returns how a program beside nave-lab is called.
func (s *site) nave() string { return filepath.Join(s.bin, "nave") }

// binDir is the directory of the running program.
func binDir() (string, error) {
	self, err := os.Executable()
	return filepath.Dir(self), err
}
