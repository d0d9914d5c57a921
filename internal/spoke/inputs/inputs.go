// Package inputs reads on a cluster what replaces the variables of apps whose values only
// the cluster knows, and follows where they come from. A Reading is of one sync of one
// app; a Follower serves all apps for as long as the cluster answers. What it read it
// tells to nobody but whoever applies the objects.
package inputs

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"nave.dev/internal/app"
	"nave.dev/internal/apply"
	"nave.dev/internal/object"
	"nave.dev/internal/variables"
)

// Reader reads an object of a cluster with the rights of a service account, nil if there
// is none.
type Reader interface {
	Read(ctx context.Context, id object.ID, account string) (*unstructured.Unstructured, error)
}

// Reading reads the variables of one app, once for each call of Replace. A nil one has
// none to read.
type Reading struct {
	From    Reader
	Options app.Options // with Variables

	mu       sync.Mutex
	versions map[object.ID]string
}

// Versions are those of what was read last, by object; one that was not there has the
// empty version. It is nil before anything was.
func (r *Reading) Versions() map[object.ID]string {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.versions)
}

// value is that of a variable.
type value struct {
	text   string
	secret bool
}

// Replace reads the variables, and returns what replaces them in objects; or it says
// which object is not there that must be.
func (r *Reading) Replace(ctx context.Context) (replace apply.Replace, waitsFor string, err error) {
	if r == nil {
		return nil, "", nil
	}
	values, versions := map[string]value{}, map[object.ID]string{}
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.versions = versions
	}()
	for _, layer := range r.Options.Variables.Layers {
		for name, text := range layer.Values {
			values[name] = value{text: text}
		}
		if layer.From == nil {
			continue
		}
		id := layer.From.ID()
		for _, l := range []app.Limits{r.Options.Limits, r.Options.Project} {
			within := app.Limits{Namespaces: l.Namespaces, DeniedNamespaces: l.DeniedNamespaces, By: l.By}
			if reason, ok := within.Permits(id, true, true); !ok {
				return nil, "", fmt.Errorf("%s: %s", id, reason)
			}
		}
		u, err := r.From.Read(ctx, id, r.Options.ServiceAccount)
		switch {
		case err != nil:
			return nil, "", fmt.Errorf("%s: %w", id, err)
		case u == nil && !layer.From.Optional:
			versions[id], waitsFor = "", fmt.Sprintf("%s, which has variables of it and is not on the cluster", id)
			continue
		case u == nil:
			versions[id] = ""
			continue
		}
		versions[id] = u.GetResourceVersion()
		if err := add(values, u); err != nil {
			return nil, "", fmt.Errorf("%s: %w", id, err)
		}
	}
	if waitsFor != "" {
		return nil, waitsFor, nil
	}
	whether := r.Options.Variables.Always || len(values) > 0
	return func(u *unstructured.Unstructured) (*unstructured.Unstructured, bool, error) {
		if bare := object.Undefer(u); !whether {
			return bare, false, nil
		}
		return replaced(u, values)
	}, "", nil
}

// add adds the entries of a ConfigMap or Secret.
func add(values map[string]value, u *unstructured.Unstructured) error {
	entries, _ := u.Object["data"].(map[string]any)
	secret := u.GetKind() == "Secret"
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		if err := variables.Check(name); err != nil {
			return err
		}
		text, ok := entries[name].(string)
		if secret && ok {
			data, err := base64.StdEncoding.DecodeString(text)
			text, ok = string(data), err == nil
		}
		if !ok {
			return fmt.Errorf("its entry %q cannot be read", name)
		}
		values[name] = value{variables.Line(text), secret}
	}
	return nil
}

// replaced returns a deferred object with variables replaced, and whether any of a Secret
// is in it.
func replaced(u *unstructured.Unstructured, values map[string]value) (*unstructured.Unstructured, bool, error) {
	secret := false
	full, err := variables.Object(object.Undefer(u), func(name string) (string, bool) {
		secret = secret || values[name].secret
		return values[name].text, true // as in Flux, what is not set is empty
	})
	var invalid *variables.InvalidError
	switch {
	case errors.As(err, &invalid) && secret:
		return nil, true, errors.New("it is no object any more once its variables are replaced; why is withheld, since it may repeat a secret value\nhint: quote the variables in it")
	case errors.As(err, &invalid):
		return nil, secret, fmt.Errorf("it is no object any more once its variables are replaced: %w\nhint: quote the variables in it", err)
	case err != nil && secret:
		return nil, true, errors.New("its variables cannot be replaced; why is withheld, since it may repeat a secret value")
	case err != nil:
		return nil, secret, fmt.Errorf("its variables cannot be replaced: %w", err)
	}
	if err := keeps(u, full); err != nil {
		return nil, secret, err
	}
	return full, secret, nil
}

// keeps refuses values that change what an object is, which decides whose it is and what
// may be done with it, or that are none of its metadata's.
func keeps(before, after *unstructured.Unstructured) error {
	for _, path := range [][]string{{"apiVersion"}, {"kind"}, {"metadata", "name"}, {"metadata", "namespace"}} {
		was, _, _ := unstructured.NestedFieldNoCopy(before.Object, path...)
		is, _, _ := unstructured.NestedFieldNoCopy(after.Object, path...)
		if was != is {
			return fmt.Errorf("a variable of the cluster changes its %s", path[len(path)-1])
		}
	}
	if object.Encrypted(after) {
		return errors.New("a variable of the cluster makes it one that is encrypted with SOPS")
	}
	for _, field := range []string{"labels", "annotations"} {
		if _, _, err := unstructured.NestedStringMap(after.Object, "metadata", field); err != nil {
			return fmt.Errorf("a variable of the cluster makes a value in metadata.%s one that is no text\nhint: quote the variables in it", field)
		}
	}
	return nil
}
