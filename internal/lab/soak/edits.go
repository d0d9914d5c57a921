package soak

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// edit is a change of one value in one file of the sample's fleet repository,
// and where on the clusters it shows.
type edit struct {
	what    string         // kind of change, for people
	file    string         // in the repository
	pattern *regexp.Regexp // its group is the value
	value   func(n int, old string) string
	object  ref
	field   string
	envs    []string
	read    func(*unstructured.Unstructured) string
}

// The resources that edits show in.
var (
	deployments     = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	configMaps      = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	networkPolicies = schema.GroupVersionResource{Group: "networking.k8s.io", Version: "v1", Resource: "networkpolicies"}
	priorityClasses = schema.GroupVersionResource{Group: "scheduling.k8s.io", Version: "v1", Resource: "priorityclasses"}
)

// edits are the changes that the sample's fleet repository in dir allows and
// that one of the clusters would show.
func edits(dir string, clusters []*cluster) []edit {
	all := []edit{{
		what: "line in base", file: "base/priority-classes.yaml",
		pattern: regexp.MustCompile(`name: platform\ndescription: (.*)`),
		value:   func(n int, _ string) string { return fmt.Sprintf("What the others stand on, edition %d.", n) },
		object:  ref{priorityClasses, "", "platform"}, field: "description", read: text("description"),
	}, {
		what: "line in base", file: "base/namespaces/shop/mail-relay.yaml",
		pattern: regexp.MustCompile(`- \{port: (\d+)\}`),
		value:   func(n int, _ string) string { return strconv.Itoa(2000 + n) },
		object:  ref{networkPolicies, "shop", "allow-mail-relay"}, field: "port",
		read: func(u *unstructured.Unstructured) string {
			egress, _, _ := unstructured.NestedSlice(u.Object, "spec", "egress")
			return fmt.Sprint(dig(egress, 0, "ports", 0, "port"))
		},
	}, {
		what: "configuration", file: "apps/cart/base/deployment.yaml",
		pattern: regexp.MustCompile(`name: BASKET_TTL, value: (\w+)`),
		value:   func(n int, _ string) string { return fmt.Sprintf("%dh", n) },
		object:  ref{deployments, "shop", "cart"}, field: "BASKET_TTL",
		read: func(u *unstructured.Unstructured) string {
			env, _ := dig(containers(u), 0, "env").([]any)
			for i := range env {
				if dig(env, i, "name") == "BASKET_TTL" {
					return fmt.Sprint(dig(env, i, "value"))
				}
			}
			return absent
		},
	}}
	for _, app := range []string{"cart", "catalog", "checkout", "storefront"} {
		deployment := ref{deployments, "shop", app}
		image := func(file, pattern string, envs ...string) edit {
			return edit{
				what: "image", file: file, pattern: regexp.MustCompile(pattern),
				value:  func(n int, _ string) string { return fmt.Sprintf("soak-%d", n) },
				object: deployment, field: "image", envs: envs,
				read: func(u *unstructured.Unstructured) string {
					name := fmt.Sprint(dig(containers(u), 0, "image"))
					return name[strings.LastIndexByte(name, ':')+1:]
				},
			}
		}
		all = append(all, image("apps/"+app+"/base/deployment.yaml", `image: registry\.example\.com/shop/`+app+`:(\S+)`, "prod", "dr"))
		for _, env := range []string{"dev", "staging", "ephemeral"} {
			all = append(all, image("apps/"+app+"/overlays/"+env+"/kustomization.yaml", `newTag: (\S+)`, env))
		}
		all = append(all, replicas("apps/"+app+"/overlays/staging/kustomization.yaml", deployment, "staging"))
	}
	all = append(all, replicas("apps/ingress/overlays/prod/kustomization.yaml", ref{deployments, "ingress", "traefik"}, "prod"))
	var possible []edit
	for _, e := range all {
		data, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(e.file)))
		if err == nil && e.pattern.Match(data) && e.shows(clusters) {
			possible = append(possible, e)
		}
	}
	return possible
}

func replicas(file string, object ref, env string) edit {
	return edit{
		what: "replicas", file: file, pattern: regexp.MustCompile(`name: ` + object.name + `, count: (\d+)`),
		value: func(_ int, old string) string {
			if old == "2" {
				return "3"
			}
			return "2"
		},
		object: object, field: "replicas", envs: []string{env},
		read: func(u *unstructured.Unstructured) string {
			count, _, _ := unstructured.NestedInt64(u.Object, "spec", "replicas")
			return strconv.FormatInt(count, 10)
		},
	}
}

// shows reports whether a cluster would show the edit.
func (e edit) shows(clusters []*cluster) bool {
	for _, c := range clusters {
		if e.expectation("", 0).concerns(c) {
			return true
		}
	}
	return false
}

func (e edit) expectation(want string, commit int) expectation {
	return expectation{object: e.object, field: e.field, envs: e.envs, read: e.read, want: want, commit: commit}
}

// apply makes the edit in the working copy and returns what to expect of it.
func (e edit) apply(dir string, n int) (expectation, error) {
	name := filepath.Join(dir, filepath.FromSlash(e.file))
	data, err := os.ReadFile(name)
	if err != nil {
		return expectation{}, err
	}
	at := e.pattern.FindSubmatchIndex(data)
	if at == nil {
		return expectation{}, fmt.Errorf("editing %s: nothing matches %s", e.file, e.pattern)
	}
	want := e.value(n, string(data[at[2]:at[3]]))
	edited := string(data[:at[2]]) + want + string(data[at[3]:])
	return e.expectation(want, n), os.WriteFile(name, []byte(edited), 0o644)
}

func containers(u *unstructured.Unstructured) []any {
	found, _, _ := unstructured.NestedSlice(u.Object, "spec", "template", "spec", "containers")
	return found
}

// text reads a field of the object's top.
func text(field string) func(*unstructured.Unstructured) string {
	return func(u *unstructured.Unstructured) string { return fmt.Sprint(u.Object[field]) }
}

// dig follows names and numbers into a value; what is not there is nil.
func dig(value any, path ...any) any {
	for _, step := range path {
		switch step := step.(type) {
		case string:
			fields, _ := value.(map[string]any)
			value = fields[step]
		case int:
			items, _ := value.([]any)
			if step >= len(items) {
				return nil
			}
			value = items[step]
		}
	}
	return value
}
