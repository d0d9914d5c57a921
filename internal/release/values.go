package release

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	"helm.sh/helm/v4/pkg/chart/loader/archive"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/strvals"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"nave.dev/internal/app"
	"nave.dev/internal/object"
)

// readValues works out the values of the release, and with them what is wanted.
func (r *run) readValues() error {
	release := r.target.Release
	values, err := plain(release.Defaults)
	if err != nil {
		return err
	}
	for _, from := range release.ValuesFrom {
		if reason, ok := permitsNamespace(r.target.Options, from.Namespace); !ok {
			return fmt.Errorf("values from the %s %s/%s: %s", from.Kind, from.Namespace, from.Name, reason)
		}
		client, err := kubernetes.NewForConfig(r.secrets(from.Namespace).config)
		if err != nil {
			return err
		}
		text, found, err := r.read(client, from)
		if err != nil {
			return err
		}
		if !found {
			continue
		}
		if values, err = r.fill(values, from, text); err != nil {
			return err
		}
	}
	own, err := plain(release.Values)
	if err != nil {
		return err
	}
	r.values = loader.MergeMaps(values, own)
	r.wanted = release.Wanted()
	if len(release.ValuesFrom) > 0 {
		data, err := json.Marshal(r.values)
		if err != nil {
			return fmt.Errorf("encoding values: %w", err)
		}
		r.wanted = object.Digest([]byte(r.wanted), data)
	}
	return nil
}

// plain copies values, as Helm writes into what it is given.
func plain(values map[string]any) (map[string]any, error) {
	data, err := json.Marshal(values)
	if err != nil {
		return nil, fmt.Errorf("encoding values: %w", err)
	}
	copied := map[string]any{}
	if err := json.Unmarshal(data, &copied); err != nil {
		return nil, fmt.Errorf("decoding values: %w", err)
	}
	if copied == nil {
		copied = map[string]any{}
	}
	return copied, nil
}

// read returns the text that values are read from. What is optional need not be there.
func (r *run) read(client kubernetes.Interface, from app.ValuesFrom) (text []byte, found bool, err error) {
	key := from.Key
	if key == "" {
		key = "values.yaml"
	}
	where := fmt.Sprintf("values from the %s %s/%s", from.Kind, from.Namespace, from.Name)
	data := map[string][]byte{}
	switch from.Kind {
	case "ConfigMap":
		u, err := client.CoreV1().ConfigMaps(from.Namespace).Get(r.ctx, from.Name, metav1.GetOptions{})
		if err != nil {
			return nil, false, r.missing(where, from, err)
		}
		maps.Copy(data, u.BinaryData)
		for name, value := range u.Data {
			data[name] = []byte(value)
		}
	case "Secret":
		u, err := client.CoreV1().Secrets(from.Namespace).Get(r.ctx, from.Name, metav1.GetOptions{})
		if err != nil {
			return nil, false, r.missing(where, from, err)
		}
		data = u.Data
	default:
		return nil, false, fmt.Errorf("%s: only a ConfigMap or a Secret can have some", where)
	}
	text, found = data[key]
	if !found && !from.Optional {
		return nil, false, fmt.Errorf("%s: it has no key %q", where, key)
	}
	return text, found, nil
}

// missing wraps why something was not read, unless it may be missing.
func (r *run) missing(where string, from app.ValuesFrom, err error) error {
	if from.Optional && apierrors.IsNotFound(err) {
		return nil
	}
	return fmt.Errorf("reading %s: %w", where, err)
}

// fill merges the values of a text over others, and remembers those of a Secret.
func (r *run) fill(values map[string]any, from app.ValuesFrom, text []byte) (map[string]any, error) {
	if from.Kind == "Secret" {
		if read, err := loader.LoadValues(bytes.NewReader(text)); from.Target == "" && err == nil {
			r.conceal(read)
		} else {
			r.conceal(string(text))
		}
	}
	return merge(values, from, text)
}

// merge merges the values of a text over others. What is wrong with it is said without
// the text, which may be secret.
func merge(values map[string]any, from app.ValuesFrom, text []byte) (map[string]any, error) {
	where := fmt.Sprintf("values from the %s %s/%s", from.Kind, from.Namespace, from.Name)
	if from.Target == "" {
		read, err := loader.LoadValues(bytes.NewReader(text))
		if err != nil {
			return nil, fmt.Errorf("%s: they are no YAML document of values", where)
		}
		return loader.MergeMaps(values, read), nil
	}
	set := strvals.ParseInto
	if from.Literal {
		set = strvals.ParseLiteralInto
	}
	if err := set(from.Target+"="+string(text), values); err != nil {
		return nil, fmt.Errorf("%s: they cannot be set at %q", where, from.Target)
	}
	return values, nil
}

// prepare reads the chart, and applies its definitions by the rules of an action, or by
// what is usual for it.
func (h *driven) prepare(rules app.ReleaseAction, usual app.CRDPolicy) error {
	var err error
	if h.chart, err = readChart(h.target.Release.Chart); err != nil {
		return err
	}
	if !h.dry {
		if err := h.define(rules, usual); err != nil {
			return err
		}
	}
	h.config.Capabilities, err = h.capabilities()
	return err
}

// readChart reads a chart as it is packed: what its dependencies come to is not known.
func readChart(packed app.Chart) (*chart.Chart, error) {
	var files []*archive.BufferedFile
	for _, file := range packed.Files {
		files = append(files, &archive.BufferedFile{Name: file.Name, Data: file.Data})
	}
	read, err := loader.LoadFiles(files)
	if err != nil {
		return nil, fmt.Errorf("reading the chart: %w", err)
	}
	if read.Metadata == nil {
		return nil, errors.New("reading the chart: it has no Chart.yaml")
	}
	return read, nil
}
