package ownership

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/yaml"
)

// read reads an object and the fields of its managers, each written as
// MANAGER: FIELDS in the form of managed fields. "nave" applies, others update.
func read(t testing.TB, manifest string, managers map[string]string) Object {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(manifest), &u.Object); err != nil {
		t.Fatal(err)
	}
	var entries []metav1.ManagedFieldsEntry
	for manager, text := range managers {
		data, err := yaml.YAMLToJSON([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		entry := metav1.ManagedFieldsEntry{Manager: manager, Operation: "Update", APIVersion: u.GetAPIVersion(), FieldsType: "FieldsV1", FieldsV1: &metav1.FieldsV1{}}
		if manager == "nave" {
			entry.Operation = "Apply"
		}
		entry.FieldsV1.SetRawBytes(data)
		entries = append(entries, entry)
	}
	u.SetManagedFields(entries)
	return Read(u)
}

const pod = `
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}, finalizers: [example.org/a]}
spec:
  restartPolicy: Always
  containers:
  - name: web
    image: web:1
    imagePullPolicy: IfNotPresent
    env: [{name: NODE, valueFrom: {fieldRef: {apiVersion: v1, fieldPath: spec.nodeName}}}]
    ports: [{containerPort: 53, protocol: TCP}, {containerPort: 53, protocol: UDP}]
    resources: {limits: {cpu: "1"}}
    args: [-x, "1"]
`

const podFields = `
f:metadata: {f:labels: {f:app: {}}, f:finalizers: {'v:"example.org/a"': {}}}
f:spec:
  f:containers:
    'k:{"name":"web"}':
      .: {}
      f:name: {}
      f:image: {}
      f:args: {}
      f:env: {'k:{"name":"NODE"}': {.: {}, f:name: {}, f:valueFrom: {f:fieldRef: {}}}}
      f:ports:
        'k:{"containerPort":53,"protocol":"TCP"}': {.: {}, f:containerPort: {}}
        'k:{"containerPort":53,"protocol":"UDP"}': {.: {}, f:containerPort: {}, f:protocol: {}}
      f:resources: {f:limits: {f:cpu: {}}}
`

const podWanted = `
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}, annotations: {}, finalizers: [example.org/a]}
spec:
  containers:
  - name: web
    image: web:1
    env: [{name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}]
    ports: [{containerPort: 53}, {containerPort: 53, protocol: UDP}]
    resources: {limits: {cpu: 1000m}}
    args: [-x, "1"]
`

func TestCompare(t *testing.T) {
	for _, test := range []struct {
		name   string
		live   func(map[string]any)
		want   func(map[string]any)
		fields string
		stands Standing
		reason string
	}{
		{name: "in place", reason: "defaults, list keys and amounts are read as the server does"},
		{
			name: "value", want: func(u map[string]any) { container(u)["image"] = "web:2" },
			stands: Standing{Stale: true}, reason: "Git changed a value that Nave owns",
		}, {
			name: "argument that looks like an amount", want: func(u map[string]any) { container(u)["args"] = []any{"-x", "1000m"} },
			stands: Standing{Stale: true}, reason: "only amounts are compared as amounts",
		}, {
			name: "dropped", want: func(u map[string]any) { delete(container(u), "args") },
			stands: Standing{Stale: true}, reason: "Git dropped a field that Nave owns",
		}, {
			name: "dropped element", want: func(u map[string]any) { container(u)["ports"] = container(u)["ports"].([]any)[:1] },
			stands: Standing{Stale: true}, reason: "Git dropped an element that Nave owns",
		}, {
			name: "new", want: func(u map[string]any) { container(u)["command"] = []any{"run"} },
			stands: Standing{Stale: true}, reason: "Git has a field that is not there",
		}, {
			name: "new element", want: func(u map[string]any) {
				spec := u["spec"].(map[string]any)
				spec["containers"] = append(spec["containers"].([]any), map[string]any{"name": "b"})
			}, stands: Standing{Stale: true}, reason: "Git has an element that is not there",
		}, {
			name: "taken", live: func(u map[string]any) { u["metadata"].(map[string]any)["labels"] = map[string]any{"app": "evil"} },
			fields: `{f:metadata: {f:finalizers: {'v:"example.org/a"': {}}}, ` + inner(podFields), stands: Standing{Taken: true},
			reason: "somebody else owns a label that Git has",
		}, {
			name: "taken and put back", fields: `{f:metadata: {f:finalizers: {'v:"example.org/a"': {}}}, ` + inner(podFields),
			stands: Standing{Taken: true}, reason: "the value is right, and yet it would stay when Git drops it",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			fields := test.fields
			if fields == "" {
				fields = podFields
			}
			o := read(t, pod, map[string]string{"nave": fields})
			if test.live != nil {
				test.live(o.Object)
			}
			wanted := read(t, podWanted, nil)
			if test.want != nil {
				test.want(wanted.Object)
			}
			if got := o.Compare(wanted.Unstructured); got != test.stands {
				t.Errorf("%s: %+v, want %+v", test.reason, got, test.stands)
			}
		})
	}
}

// inner returns the spec of fields, as the rest of a flow map.
func inner(fields string) string {
	var all map[string]any
	if err := yaml.Unmarshal([]byte(fields), &all); err != nil {
		panic(err)
	}
	data, err := yaml.Marshal(all["f:spec"])
	if err != nil {
		panic(err)
	}
	flow, err := yaml.YAMLToJSON(data)
	if err != nil {
		panic(err)
	}
	return "f:spec: " + string(flow) + "}"
}

func container(u map[string]any) map[string]any {
	return u["spec"].(map[string]any)["containers"].([]any)[0].(map[string]any)
}

func TestCompareByValueWithoutManagedFields(t *testing.T) {
	wanted := read(t, podWanted, nil)
	container(wanted.Object)["resources"] = nil
	if o := read(t, pod, nil); !o.Compare(wanted.Unstructured).Holds() {
		t.Error("an object that has all that is wanted")
	}
	container(wanted.Object)["image"] = "web:2"
	if o := read(t, pod, nil); o.Compare(wanted.Unstructured).Holds() {
		t.Error("an object with another image")
	}
}

func TestAddedCountsOnlyWhatPeopleAddedWhereItCounts(t *testing.T) {
	for name, test := range map[string]struct {
		managers map[string]string
		left     string
		added    []string
	}{
		"label":             {managers: map[string]string{"kubectl-label": `{f:metadata: {f:labels: {f:x: {}}}}`}, added: []string{".metadata.labels.x"}},
		"sidecar":           {managers: map[string]string{"helm": `{f:spec: {f:containers: {'k:{"name":"b"}': {.: {}, f:name: {}}}}}`}, added: []string{`.spec.containers[name="b"].name`}},
		"shared":            {managers: map[string]string{"kubectl": `{f:metadata: {f:labels: {f:app: {}}}}`}},
		"controller":        {managers: map[string]string{"operator": `{f:metadata: {f:labels: {f:x: {}}}}`}},
		"status":            {managers: map[string]string{"kubectl-edit": `{f:status: {f:x: {}}}`}},
		"finalizer":         {managers: map[string]string{"kubectl-edit": `{f:metadata: {f:finalizers: {'v:"b"': {}}}}`}},
		"replicas":          {managers: map[string]string{"kubectl-edit": `{f:spec: {f:replicas: {}}}`}},
		"restart":           {managers: map[string]string{"kubectl-rollout": `{f:spec: {f:template: {f:metadata: {f:annotations: {.: {}, "f:kubectl.kubernetes.io/restartedAt": {}}}}}}`}},
		"ignored":           {managers: map[string]string{"kubectl-edit": `{f:spec: {f:paused: {}}}`}, left: "spec.paused"},
		"last applied":      {managers: map[string]string{"kubectl-client-side-apply": `{f:metadata: {f:annotations: {"f:kubectl.kubernetes.io/last-applied-configuration": {}}}}`}},
		"before everything": {managers: map[string]string{"before-first-apply": `{f:spec: {f:nodeName: {}}}`}},
	} {
		t.Run(name, func(t *testing.T) {
			test.managers["nave"] = podFields
			rules := Rules{Former: Former}
			if test.left != "" {
				pattern, err := ParsePattern(test.left)
				if err != nil {
					t.Fatal(err)
				}
				rules.Left = []Pattern{pattern}
			}
			var added []string
			for p := range read(t, pod, test.managers).Added(read(t, podWanted, nil).Unstructured, rules).All() {
				added = append(added, p.String())
			}
			if diff := cmp.Diff(test.added, added); diff != "" {
				t.Errorf("added (-want +got)\n%s", diff)
			}
		})
	}
}

func TestChangesAlignsListsAndNamesManagers(t *testing.T) {
	o := read(t, pod, map[string]string{"nave": podFields, "kubelet": `{f:spec: {f:containers: {'k:{"name":"web"}': {f:image: {}}}}}`})
	after := o.DeepCopy()
	spec := after.Object["spec"].(map[string]any)
	container(after.Object)["image"] = "web:2"
	container(after.Object)["args"] = []any{"-y"}
	delete(after.Object["metadata"].(map[string]any), "labels")
	spec["containers"] = append([]any{map[string]any{"name": "first"}}, spec["containers"].([]any)...)
	after.Object["status"] = map[string]any{"phase": "Running"}
	var got []string
	for _, field := range o.Changes(after, false, nil) {
		got = append(got, field.String())
	}
	want := []string{
		`metadata.labels.app: "web" -> (none)`,
		`spec.containers[name=first]: (none) -> {"name":"first"}`,
		`spec.containers[name=web].args: ["-x","1"] -> ["-y"]`,
		`spec.containers[name=web].image: "web:1" -> "web:2" (by kubelet)`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("changes (-want +got)\n%s", diff)
	}
}

// BenchmarkCompare is what an object costs that is as it should be.
func BenchmarkCompare(b *testing.B) {
	o, wanted := read(b, pod, map[string]string{"nave": podFields}), read(b, podWanted, nil)
	for b.Loop() {
		if !Read(o.Unstructured).Compare(wanted.Unstructured).Holds() {
			b.Fatal("not in place")
		}
	}
}

// FuzzRead reads managed fields that fit their object or not, as a cluster may
// have them, and does all that is done with an object before and after an apply.
func FuzzRead(f *testing.F) {
	const deployment = `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"w","labels":{"a":"b"}},"spec":{"replicas":2,"list":[{"name":"x","v":1},{"name":"y"}],"set":["a","b"]}}`
	f.Add(deployment, deployment, `{"f:spec":{"f:replicas":{},"f:list":{"k:{\"name\":\"x\"}":{".":{},"f:v":{}}}}}`, `{"f:metadata":{"f:labels":{"f:a":{}}},"f:spec":{"f:set":{"v:\"a\"":{},"i:0":{}}}}`, "kubectl")
	f.Add(deployment, `{"metadata":{"name":"w"},"spec":{"replicas":"two","list":{"a":1}}}`, `{"f:spec":{}}`, `{"f:spec":{"f:list":{"k:{}":{},"k:{\"name\":1}":{}}}}`, "nave-handover")
	f.Add(`{"metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{\"spec\":[1]}"}}}`, `{"metadata":{"annotations":null}}`, `{".":{}}`, `{"v:null":{}}`, "before-first-apply")
	f.Add(`{"metadata":{"labels":1,"managedFields":"x"},"data":[]}`, `{"metadata":{},"data":{"":null}}`, `[]`, `{"f:":{"f:":{}}}`, "helm")
	f.Fuzz(func(t *testing.T, live, wanted, ours, theirs, manager string) {
		u, body := &unstructured.Unstructured{}, &unstructured.Unstructured{}
		if json.Unmarshal([]byte(live), &u.Object) != nil || json.Unmarshal([]byte(wanted), &body.Object) != nil || u.Object == nil || body.Object == nil {
			return
		}
		_, hasMetadata := u.Object["metadata"].(map[string]any)
		if _, marked := body.Object["metadata"].(map[string]any); !hasMetadata || !marked || len(ours)+len(theirs) > 10_000 {
			return // no API server has such an object, and what is wanted bears marks
		}
		entry := func(manager string, operation metav1.ManagedFieldsOperationType, fields string) metav1.ManagedFieldsEntry {
			e := metav1.ManagedFieldsEntry{Manager: manager, Operation: operation, APIVersion: "v1", FieldsType: "FieldsV1", FieldsV1: &metav1.FieldsV1{}}
			if !json.Valid([]byte(fields)) {
				fields = "{}"
			}
			e.FieldsV1.SetRawBytes([]byte(fields))
			return e
		}
		u.SetManagedFields([]metav1.ManagedFieldsEntry{
			entry("nave", metav1.ManagedFieldsOperationApply, ours), entry(manager, metav1.ManagedFieldsOperationUpdate, theirs),
		})
		before := u.DeepCopy()
		o := Read(u)
		rules := Rules{Former: Former}
		o.Compare(body)
		o.Added(body, rules)
		o.Foreign(rules)
		o.Applied()
		o.TakeOver(body, rules)
		o.LastChange()
		given := o.GivenUp(body, rules)
		Extract(o.Object, given.Union(o.Kept()))
		if o.Ours != nil {
			o.Without(given, o.Ours, rules)
		}
		o.Changes(body, true, []byte("key"))
		if diff := cmp.Diff(before.Object, u.Object); diff != "" {
			t.Errorf("looking changed the object:\n%s", diff)
		}
	})
}

// FuzzFieldSet holds fields against what the library that servers use makes of them.
func FuzzFieldSet(f *testing.F) {
	for _, text := range []string{podFields, `{}`, `{.: {}}`, `{f:a: {.: {}, f:b: {}}, f:c: {f:d: null}}`, `{x:a: {}, 'v:1': {}, 'i:0': {f:a: {}}}`} {
		data, err := yaml.YAMLToJSON([]byte(text))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var fields map[string]any
		if json.Unmarshal(data, &fields) != nil || fields == nil {
			t.Skip("no fields")
		}
		again, err := json.Marshal(fields)
		if err != nil {
			t.Fatal(err)
		}
		want := &fieldpath.Set{}
		wantErr := want.FromJSON(bytes.NewReader(again))
		got, err := fieldSet(fields)
		if wantErr != nil {
			t.Skip("the library takes less")
		}
		if err != nil || !got.Equals(want) {
			t.Errorf("%s\ngot %s (%v)\nwant %s", again, got, err, want)
		}
	})
}
