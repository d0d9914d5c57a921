package health

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"nave.dev/internal/health/sandbox"
)

// files makes a directory of custom checks.
func files(sources map[string]string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for name, source := range sources {
		fsys[name] = &fstest.MapFile{Data: []byte(source)}
	}
	return fsys
}

func TestCheckBeforeRules(t *testing.T) {
	c := newChecker(t, Options{HookFinalizers: []string{"nave.dev/hook"}})
	tests := []struct {
		reason string
		object *unstructured.Unstructured
		want   Result
	}{
		{"nothing in the cluster", nil, Result{Status: Missing, Message: "not in the cluster", Source: SourceNone}},
		{"no content", &unstructured.Unstructured{}, Result{Status: Unknown, Message: "the object states no apiVersion and kind", Source: SourceNone}},
		{"being deleted", parse(t, `{apiVersion: v1, kind: ConfigMap, metadata: {deletionTimestamp: "2024-05-01T10:00:00Z"}}`),
			Result{Status: Progressing, Message: "being deleted since 2024-05-01T10:00:00Z", Source: SourceBuiltin}},
		{"deletion held up", parse(t, `{apiVersion: example.org/v1, kind: Thing, metadata: {deletionTimestamp: "2024-05-01T10:00:00Z", finalizers: [a/b, c/d]}}`),
			Result{Status: Progressing, Message: "being deleted since 2024-05-01T10:00:00Z, held by finalizer a/b, c/d", Source: SourceBuiltin}},
		{"a hook is judged by its result even while it is deleted", parse(t, `{apiVersion: batch/v1, kind: Job, metadata: {deletionTimestamp: "2024-05-01T10:00:00Z", finalizers: [a/b, nave.dev/hook]}, status: {conditions: [{type: Complete, status: "True"}]}}`),
			Result{Status: Healthy, Source: SourceBuiltin}},
		{"ignored by annotation, and still reported", parse(t, `{apiVersion: v1, kind: Service, metadata: {annotations: {argocd.argoproj.io/ignore-healthcheck: "true"}}, spec: {type: LoadBalancer}}`),
			Result{Status: Progressing, Message: "waiting for the load balancer's address", Source: SourceBuiltin, Ignored: true}},
		{"the annotation says no", parse(t, `{apiVersion: v1, kind: Service, metadata: {annotations: {argocd.argoproj.io/ignore-healthcheck: "false"}}}`),
			Result{Status: Healthy, Source: SourceBuiltin}},
	}
	for _, test := range tests {
		if got := c.Check(t.Context(), test.object); got != test.want {
			t.Errorf("%s:\ngot  %+v\nwant %+v", test.reason, got, test.want)
		}
	}
}

// What is being deleted is never Healthy to who waits for it. A check may say what it waits for.
func TestCheckOfDeleted(t *testing.T) {
	const going = `{apiVersion: example.org/v1, kind: Thing, metadata: {deletionTimestamp: "2024-05-01T10:00:00Z"}, status: {x: "1"}}`
	const rule = "example.org/Thing/health.lua"
	deleted := Result{Status: Progressing, Message: "being deleted since 2024-05-01T10:00:00Z", Source: SourceBuiltin}
	for _, test := range []struct {
		reason, script string
		check, verdict Result
	}{
		{"healthy", `return {status = "Healthy", message = "well"}`, deleted, Result{Status: Healthy, Message: "well", Source: SourceCustom, Rule: rule}},
		{"waiting", `return {status = "Progressing", message = "waits for others"}`,
			Result{Status: Progressing, Message: "waits for others", Source: SourceCustom, Rule: rule}, Result{Status: Progressing, Message: "waits for others", Source: SourceCustom, Rule: rule}},
		{"failed", `return {status = "Degraded", message = "cannot"}`,
			Result{Status: Degraded, Message: "cannot", Source: SourceCustom, Rule: rule}, Result{Status: Degraded, Message: "cannot", Source: SourceCustom, Rule: rule}},
		{"an error", `return {status = obj.a.b}`, deleted, deleted},
		{"no status that is one", `return {status = "Fine"}`, deleted, deleted},
		{"nothing", `return nil`, deleted, deleted},
	} {
		c := newChecker(t, Options{Custom: files(map[string]string{rule: test.script})})
		if got := c.Check(t.Context(), parse(t, going)); got != test.check {
			t.Errorf("%s:\ngot  %+v\nwant %+v", test.reason, got, test.check)
		}
		if got := c.Verdict(t.Context(), parse(t, going)); got != test.verdict {
			t.Errorf("%s: the verdict\ngot  %+v\nwant %+v", test.reason, got, test.verdict)
		}
	}
}

func TestCustomChecks(t *testing.T) {
	const thing = `{apiVersion: example.org/v1, kind: Thing, status: {x: "1"}}`
	tests := []struct {
		reason, object string
		custom         map[string]string
		want           Result
	}{
		{"a check of the user's", thing, map[string]string{"example.org/Thing/health.lua": `return {status = "Suspended", message = "x is " .. obj.status.x}`},
			Result{Status: Suspended, Message: "x is 1", Source: SourceCustom, Rule: "example.org/Thing/health.lua"}},
		{"the user wins over a rule in Go", `{apiVersion: v1, kind: Service, spec: {type: LoadBalancer}}`, map[string]string{"Service/health.lua": `return {status = "Healthy"}`},
			Result{Status: Healthy, Source: SourceCustom, Rule: "Service/health.lua"}},
		{"the user wins over Argo CD, even by a wildcard", `{apiVersion: argoproj.io/v1alpha1, kind: Rollout, status: {}}`, map[string]string{"argoproj.io/_/health.lua": `return {status = "Degraded"}`},
			Result{Status: Degraded, Source: SourceCustom, Rule: "argoproj.io/_/health.lua"}},
		{"core stands for the core group", `{apiVersion: v1, kind: Service, spec: {type: LoadBalancer}}`, map[string]string{"core/Service/health.lua": `return {status = "Degraded"}`},
			Result{Status: Degraded, Source: SourceCustom, Rule: "core/Service/health.lua"}},
		{"an exact name wins over a wildcard", thing, map[string]string{"_.org/Thing/health.lua": `return {status = "Degraded"}`, "example.org/Thing/health.lua": `return {status = "Healthy"}`},
			Result{Status: Healthy, Source: SourceCustom, Rule: "example.org/Thing/health.lua"}},
		{"the first wildcard by name wins", thing, map[string]string{"_.org/Thing/health.lua": `return {status = "Degraded"}`, "_.org/_/health.lua": `return {status = "Healthy"}`},
			Result{Status: Degraded, Source: SourceCustom, Rule: "_.org/Thing/health.lua"}},
		{"the order is that of whole names, in which a dot comes before a slash", thing, map[string]string{"e_/_/health.lua": `return {status = "Degraded"}`, "e_.org/_/health.lua": `return {status = "Healthy"}`},
			Result{Status: Healthy, Source: SourceCustom, Rule: "e_.org/_/health.lua"}},
		{"a wildcard stays within its part", thing, map[string]string{"_/health.lua": `return {status = "Degraded"}`},
			Result{Status: Healthy, Source: SourceKStatus}},
		{"a check without an opinion leaves it to the next", `{apiVersion: apps/v1, kind: Deployment, spec: {paused: true}}`, map[string]string{"apps/Deployment/health.lua": `if obj.spec.paused then return nil end return {status = "Healthy"}`},
			Result{Status: Suspended, Message: "the Deployment is paused", Source: SourceBuiltin}},
		{"a check without an opinion that read the clock", thing, map[string]string{"example.org/Thing/health.lua": `if os.time() == 0 then return {} end`},
			Result{Status: Healthy, Source: SourceKStatus, ReadsClock: true}},
		{"a check by the clock", thing, map[string]string{"example.org/Thing/health.lua": `return {status = "Healthy", message = os.date("%F")}`},
			Result{Status: Healthy, Message: "1970-01-01", Source: SourceCustom, Rule: "example.org/Thing/health.lua", ReadsClock: true}},
		{"a status that is none", thing, map[string]string{"example.org/Thing/health.lua": `return {status = "Good", message = "fine"}`},
			Result{Status: Unknown, Message: `example.org/Thing/health.lua returned the status "Good", which is none`, Source: SourceCustom, Rule: "example.org/Thing/health.lua"}},
		{"a message without a status", thing, map[string]string{"example.org/Thing/health.lua": `return {message = "fine"}`},
			Result{Status: Unknown, Message: `example.org/Thing/health.lua returned the status "", which is none`, Source: SourceCustom, Rule: "example.org/Thing/health.lua"}},
		{"an error", thing, map[string]string{"example.org/Thing/health.lua": "local x\nreturn x.y"},
			Result{Status: Unknown, Message: "example.org/Thing/health.lua:2: attempt to index a non-table object(nil) with key 'y'", Source: SourceCustom, Rule: "example.org/Thing/health.lua"}},
		{"an error before there is a status", `{apiVersion: example.org/v1, kind: Thing, status: {}}`, map[string]string{"example.org/Thing/health.lua": `return {status = obj.status.a.b}`},
			Result{Status: Progressing, Message: "waiting for its first status", Source: SourceCustom, Rule: "example.org/Thing/health.lua"}},
		{"a limit is no lack of status", `{apiVersion: example.org/v1, kind: Thing}`, map[string]string{"example.org/Thing/health.lua": `while true do end`},
			Result{Status: Unknown, Message: "running example.org/Thing/health.lua: script was stopped after 10000 steps", Source: SourceCustom, Rule: "example.org/Thing/health.lua"}},
		{"files of tests and actions are passed over", thing, map[string]string{
			"example.org/Thing/health_test.yaml": "tests: []", "example.org/Thing/testdata/a.lua": "if", "example.org/Thing/actions/restart/action.lua": "if", "README.md": "",
		}, Result{Status: Healthy, Source: SourceKStatus}},
	}
	for _, test := range tests {
		c := newChecker(t, Options{
			Custom: files(test.custom),
			Clock:  func() time.Time { return time.Unix(0, 0) },
			Limits: sandbox.Limits{Steps: 10_000},
		})
		for range 2 {
			if got := c.Check(t.Context(), parse(t, test.object)); got != test.want {
				t.Errorf("%s:\ngot  %+v\nwant %+v", test.reason, got, test.want)
			}
		}
	}
}

func TestCustomProblems(t *testing.T) {
	custom := files(map[string]string{
		"example.org/A/health.lua":        "return {\n}}",
		"example.org/B/health.lua":        "local x = 1\nwhile x do\n",
		"example.org/C/health.lua":        `return {status = "Healthy"}`,
		"example.org/D/helth.lua":         "",
		"example.org/E/deeper/health.lua": "",
		"example.org/health.lua":          "",
		"Example.org/F/health.lua":        "",
		"example.org/9/health.lua":        "",
		"health.lua":                      "",
		"example.org/G/health.lua":        strings.Repeat(" ", 70_000),
	})
	custom["example.org/H/health.lua"] = &fstest.MapFile{Data: []byte("../C/health.lua"), Mode: fs.ModeSymlink}
	_, err := New(Options{Custom: custom})
	var got []string
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("got %v, want joined problems", err)
	}
	for _, err := range joined.Unwrap() {
		var problem *Problem
		if !errors.As(err, &problem) || problem.File == "" {
			t.Errorf("%v is no problem with a file", err)
		}
		got = append(got, err.Error())
	}
	const hint = " (" + layoutHint + ")"
	want := []string{
		`Example.org/F/health.lua: "Example.org" is no API group` + hint,
		`example.org/9/health.lua: "9" is no kind` + hint,
		`example.org/A/health.lua:2: syntax error near "}"`,
		`example.org/B/health.lua:2: syntax error at the end of the script`,
		`example.org/D/helth.lua: nothing reads this file` + hint,
		`example.org/E/deeper/health.lua: too many directories` + hint,
		`example.org/G/health.lua: 70000 bytes, want at most 65536`,
		`example.org/H/health.lua: not a regular file`,
		`example.org/health.lua: "example.org" looks like a group, and the kind is missing` + hint,
		`health.lua: no kind in the path` + hint,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestCustomDir(t *testing.T) {
	custom := files(map[string]string{"checks/core/Secret/health.lua": "", "checks/Secret/health.lua": "", "other/Pod/health.lua": "}", "file": ""})
	_, err := New(Options{Custom: custom, CustomDir: "checks"})
	if want := "checks/core/Secret/health.lua: the same kind has checks/Secret/health.lua (keep one of them)"; err == nil || err.Error() != want {
		t.Errorf("two for one kind: %v, want %s", err, want)
	}
	delete(custom, "checks/Secret/health.lua")
	c := newChecker(t, Options{Custom: custom, CustomDir: "checks"})
	if got := c.SourceOf(schema.GroupKind{Kind: "Secret"}); got != SourceCustom {
		t.Errorf("Secret is judged by %s", got)
	}
	if _, err := New(Options{Custom: custom, CustomDir: "gone"}); err != nil {
		t.Errorf("a directory that is missing: %v", err)
	}
	if _, err := New(Options{Custom: custom, CustomDir: "file"}); err == nil || !strings.Contains(err.Error(), "file: is no directory") {
		t.Errorf("a directory that is a file: %v", err)
	}
}

func TestSources(t *testing.T) {
	c := newChecker(t, Options{Custom: files(map[string]string{"example.org/Thing/health.lua": "", "Secret/health.lua": "", "_.example.com/_/health.lua": ""})})
	tests := []struct {
		reason, group, kind string
		want                Source
	}{
		{"a custom check", "example.org", "Thing", SourceCustom},
		{"a custom check for a kind without health", "", "Secret", SourceCustom},
		{"a custom wildcard", "a.b.example.com", "X", SourceCustom},
		{"the wildcard wants something before the dot's group", "example.com", "X", SourceKStatus},
		{"Argo CD's check", "argoproj.io", "Rollout", SourceLua},
		{"Argo CD's wildcard over a family of groups", "s3.aws.crossplane.io", "Bucket", SourceLua},
		{"Argo CD's wildcard over a group", "operator.victoriametrics.com", "VMAgent", SourceLua},
		{"a kind that only looks like the wildcard's", "crossplane.io.example", "Bucket", SourceKStatus},
		{"a rule in Go", "apps", "Deployment", SourceBuiltin},
		{"the same kind in another group", "example.org", "Deployment", SourceKStatus},
		{"a custom resource", "example.org", "Other", SourceKStatus},
		{"no health", "", "ConfigMap", SourceNone},
		{"no health", "", "ServiceAccount", SourceNone},
		{"no health", "rbac.authorization.k8s.io", "Role", SourceNone},
		{"no health", "networking.k8s.io", "NetworkPolicy", SourceNone},
	}
	for _, test := range tests {
		kind := schema.GroupKind{Group: test.group, Kind: test.kind}
		if got := c.SourceOf(kind); got != test.want {
			t.Errorf("%s: %s is decided by %s, want %s", test.reason, kind, got, test.want)
		}
		if got, want := c.HasRule(kind), test.want != SourceNone; got != want {
			t.Errorf("%s: HasRule(%s) is %v, want %v", test.reason, kind, got, want)
		}
	}
}

func TestKinds(t *testing.T) {
	c := newChecker(t, Options{Custom: files(map[string]string{"apps/Deployment/health.lua": "", "argoproj.io/Rollout/health.lua": "", "_.example.com/_/health.lua": ""})})
	kinds := c.Kinds()
	byName := map[string]Kind{}
	for i, kind := range kinds {
		byName[kind.Group+"/"+kind.Kind] = kind
		if i > 0 && (kinds[i-1].Group > kind.Group || kinds[i-1].Group == kind.Group && kinds[i-1].Kind >= kind.Kind) {
			t.Errorf("%+v comes after %+v", kind, kinds[i-1])
		}
	}
	for name, want := range map[string]Kind{
		"/Pod":                {Kind: "Pod", Source: SourceBuiltin},
		"apps/Deployment":     {Group: "apps", Kind: "Deployment", Source: SourceCustom, File: "apps/Deployment/health.lua"},
		"argoproj.io/Rollout": {Group: "argoproj.io", Kind: "Rollout", Source: SourceCustom, File: "argoproj.io/Rollout/health.lua"},
		"*.example.com/*":     {Group: "*.example.com", Kind: "*", Source: SourceCustom, File: "_.example.com/_/health.lua"},
		"*.crossplane.io/*":   {Group: "*.crossplane.io", Kind: "*", Source: SourceLua, File: "_.crossplane.io/_/health.lua"},
		"batch/CronJob":       {Group: "batch", Kind: "CronJob", Source: SourceLua, File: "batch/CronJob/health.lua"},
	} {
		if got := byName[name]; got != want {
			t.Errorf("%s: got %+v, want %+v", name, got, want)
		}
	}
	// All that is embedded, all that is built in, and the wildcard; what the user replaces is listed once.
	if want := len(c.embedded.exact) + len(c.embedded.wildcards) + len(builtins) + 1; len(kinds) != want {
		t.Errorf("%d kinds, want %d", len(kinds), want)
	}
}

func TestEmbeddedChecksCompile(t *testing.T) {
	c := newChecker(t, Options{})
	check := func(s *script) {
		if _, err := s.compile(); err != nil {
			t.Errorf("%s: %v", s.path, err)
		}
	}
	for _, s := range c.embedded.exact {
		check(s)
	}
	for _, w := range c.embedded.wildcards {
		check(w.script)
	}
	if len(c.embedded.exact) == 0 || len(c.embedded.wildcards) == 0 {
		t.Error("nothing is embedded")
	}
}

func TestCancelledCheck(t *testing.T) {
	c := newChecker(t, Options{})
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("going home"))
	got := c.Check(ctx, parse(t, `{apiVersion: argoproj.io/v1alpha1, kind: Rollout}`))
	if got.Status != Unknown || !strings.Contains(got.Message, "going home") {
		t.Errorf("got %+v, want Unknown because of the cause", got)
	}
}

func TestMessagesAreBounded(t *testing.T) {
	c := newChecker(t, Options{Custom: files(map[string]string{"example.org/Thing/health.lua": `return {status = "Degraded", message = ("é"):rep(5000)}`})})
	got := c.Check(t.Context(), parse(t, `{apiVersion: example.org/v1, kind: Thing}`))
	if len(got.Message) > maxMessage || len(got.Message) < maxMessage-4 || !utf8.ValidString(got.Message) || !strings.HasSuffix(got.Message, "é…") {
		t.Errorf("message of %d bytes that ends in %q, want whole characters up to %d and a mark", len(got.Message), got.Message[max(0, len(got.Message)-6):], maxMessage)
	}
}

// FuzzCheck gives every rule objects of any shape.
func FuzzCheck(f *testing.F) {
	c, err := New(Options{Limits: sandbox.Limits{Steps: 20_000}})
	if err != nil {
		f.Fatal(err)
	}
	var kinds []schema.GroupKind
	for kind := range builtins {
		kinds = append(kinds, kind)
	}
	for name := range c.embedded.exact {
		kinds = append(kinds, kindOf(name))
	}
	kinds = append(kinds, schema.GroupKind{Group: "example.org", Kind: "Thing"})
	slices.SortFunc(kinds, func(a, b schema.GroupKind) int { return strings.Compare(a.String(), b.String()) })
	for i, seed := range []string{
		`{"metadata":{"generation":2},"spec":{"replicas":2},"status":{"observedGeneration":2,"conditions":[{"type":"Ready","status":"True"}]}}`,
		`{"status":{"conditions":[1,null,"x",{"type":7,"status":[]}],"phase":{}}}`,
		`{"metadata":{"deletionTimestamp":"now","finalizers":[1,"a"],"annotations":{"a":1}},"status":"x"}`,
		`{"spec":[],"status":{"containerStatuses":[{"name":"a","state":{"waiting":{"reason":"CrashLoopBackOff"}}},3],"phase":"Running"}}`,
		`{"status":{"loadBalancer":{"ingress":{}},"observedGeneration":"1","replicas":1e300}}`,
		`{"apiVersion":"a/b/c","kind":1}`,
	} {
		for j := range 5 {
			f.Add([]byte(seed), uint16(i*50+j*7))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, which uint16) {
		var fields map[string]any
		if err := json.Unmarshal(data, &fields); err != nil || fields == nil {
			return
		}
		if _, stated := fields["kind"]; !stated {
			kind := kinds[int(which)%len(kinds)]
			fields["apiVersion"], fields["kind"] = kind.WithVersion("v1").GroupVersion().String(), kind.Kind
		}
		obj := &unstructured.Unstructured{Object: fields}
		before, err := json.Marshal(fields)
		if err != nil {
			t.Fatal(err)
		}
		got := c.Check(t.Context(), obj)
		if _, ok := order[got.Status]; !ok {
			t.Errorf("status %q", got.Status)
		}
		if len(got.Message) > maxMessage {
			t.Errorf("message of %d bytes", len(got.Message))
		}
		if after, err := json.Marshal(fields); err != nil || string(after) != string(before) {
			t.Errorf("the object changed from %s to %s (%v)", before, after, err)
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	const metadata = `metadata: {name: a, namespace: b, generation: 2, labels: {app: a, team: t}, managedFields: [{manager: nave, fieldsV1: {f:spec: {f:replicas: {}}}}]}`
	benchmarks := []struct{ name, object string }{
		{"ConfigMap", `{apiVersion: v1, kind: ConfigMap, ` + metadata + `}`},
		{"Deployment", `{apiVersion: apps/v1, kind: Deployment, ` + metadata + `, spec: {replicas: 3, template: {spec: {containers: [{name: a, image: b}]}}}, status: {observedGeneration: 2, replicas: 3, updatedReplicas: 3, availableReplicas: 3, conditions: [{type: Available, status: "True"}, {type: Progressing, status: "True", reason: NewReplicaSetAvailable}]}}`},
		{"Lua-Certificate", `{apiVersion: cert-manager.io/v1, kind: Certificate, ` + metadata + `, spec: {secretName: a, dnsNames: [a.example]}, status: {conditions: [{type: Ready, status: "True", message: up to date, observedGeneration: 2}], notAfter: "2024-05-01T10:00:00Z"}}`},
		{"Lua-Rollout", `{apiVersion: argoproj.io/v1alpha1, kind: Rollout, ` + metadata + `, spec: {replicas: 3, strategy: {canary: {steps: [{setWeight: 20}, {pause: {}}]}}, template: {spec: {containers: [{name: a, image: b}]}}}, status: {observedGeneration: "2", phase: Healthy, replicas: 3, updatedReplicas: 3, availableReplicas: 3, conditions: [{type: Available, status: "True"}]}}`},
		{"KStatus", `{apiVersion: example.org/v1, kind: Thing, ` + metadata + `, status: {observedGeneration: 2, conditions: [{type: Ready, status: "True"}]}}`},
	}
	c := newChecker(b, Options{})
	for _, bench := range benchmarks {
		obj := parse(b, bench.object)
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if got := c.Check(b.Context(), obj); got.Status != Healthy {
					b.Fatalf("%+v", got)
				}
			}
		})
	}
}
