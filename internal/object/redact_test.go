package object

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const secret = `{apiVersion: v1, kind: Secret, type: Opaque, metadata: {name: db, namespace: shop, annotations: {
kubectl.kubernetes.io/last-applied-configuration: '{"data":{"password":"aHVudGVyMg=="}}', note: plain}},
data: {password: aHVudGVyMg==, again: aHVudGVyMg==, other: c2VzYW1l}, stringData: {token: hunter2, pin: 4711}}`

func TestRedact(t *testing.T) {
	key := []byte("key")
	u := parse(t, secret)
	redacted := Redact(u, key)
	text, err := json.Marshal(redacted.Object)
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{"aHVudGVyMg==", "hunter2", "c2VzYW1l", "4711"} {
		if strings.Contains(string(text), value) {
			t.Errorf("%q is still in %s", value, text)
		}
	}
	if diff := cmp.Diff(parse(t, secret).Object, u.Object); diff != "" {
		t.Errorf("the object itself was changed:\n%s", diff)
	}
	data := redacted.Object["data"].(map[string]any)
	if data["password"] != data["again"] || data["password"] == data["other"] {
		t.Errorf("equal values look equal and others do not: %v", data)
	}
	if again := Redact(u, key); !cmp.Equal(again.Object, redacted.Object) {
		t.Errorf("the same object and key give %v and %v", again.Object, redacted.Object)
	}
	if other := Redact(u, []byte("other key")).Object["data"].(map[string]any); other["password"] == data["password"] {
		t.Errorf("two keys give one veil, %v", data["password"])
	}
	if redacted.GetName() != "db" || redacted.GetAnnotations()["note"] != "plain" || redacted.Object["type"] != "Opaque" {
		t.Errorf("what is no secret is hidden: %s", text)
	}
}

func TestRedactWithoutKey(t *testing.T) {
	data := Redact(parse(t, secret), nil).Object["data"].(map[string]any)
	if diff := cmp.Diff(map[string]any{"password": "redacted", "again": "redacted", "other": "redacted"}, data); diff != "" {
		t.Errorf("a digest without a key can be guessed (-want +have):\n%s", diff)
	}
}

func TestRedactMalformed(t *testing.T) {
	tests := []struct{ reason, manifest string }{
		{"data that is a list", "{apiVersion: v1, kind: Secret, metadata: {name: a}, data: [hunter2]}"},
		{"data that is a text", "{apiVersion: v1, kind: Secret, metadata: {name: a}, stringData: hunter2}"},
		{"a value that is a mapping", "{apiVersion: v1, kind: Secret, metadata: {name: a}, data: {a: {b: hunter2}}}"},
		{"annotations that are not all text", "{apiVersion: v1, kind: Secret, metadata: {name: a, annotations: {n: 1, kubectl.kubernetes.io/last-applied-configuration: hunter2}}}"},
		{"an annotation that is no text", "{apiVersion: v1, kind: Secret, metadata: {name: a, annotations: {kubectl.kubernetes.io/last-applied-configuration: {b: hunter2}}}}"},
		{"no metadata", "{apiVersion: v1, kind: Secret, data: {a: hunter2}}"},
	}
	for _, test := range tests {
		text, err := json.Marshal(Redact(parse(t, test.manifest), []byte("key")).Object)
		if err != nil || strings.Contains(string(text), "hunter2") {
			t.Errorf("%s: %v: %s", test.reason, err, text)
		}
	}
}

func TestRedactOthers(t *testing.T) {
	for _, manifest := range []string{
		"{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {a: b}}",
		"{apiVersion: example.com/v1, kind: Secret, metadata: {name: a}, data: {a: b}}",
	} {
		u := parse(t, manifest)
		if Redact(u, []byte("key")) != u {
			t.Errorf("%s was redacted", manifest)
		}
	}
}

func TestRedactEncrypted(t *testing.T) {
	key := []byte("key")
	sealed := func(mac string) any {
		u := parse(t, "{apiVersion: v1, kind: Secret, metadata: {name: a}, data: {a: 'ENC[AES256_GCM,data:x]'}, sops: {mac: "+mac+", age: [{recipient: age1, enc: x}]}}")
		return Redact(u, key).Object["sops"]
	}
	one, two := sealed("one"), sealed("two")
	if text, ok := one.(string); !ok || !strings.HasPrefix(text, "redacted:") || one == two {
		t.Errorf("what SOPS says is shown as %v and %v, want two veils", one, two)
	}
}
