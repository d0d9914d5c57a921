package apply

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"nave.dev/internal/change"
	"nave.dev/internal/object"
)

const (
	sealedSecret  = `{apiVersion: v1, kind: Secret, metadata: {name: sealed, namespace: NS}, stringData: {password: "ENC[%s]"}, sops: {mac: "%s"}}`
	plainBeside   = `{apiVersion: v1, kind: ConfigMap, metadata: {name: plain, namespace: NS}, data: {a: b}}`
	plainPassword = "hunter2-of-the-shop"
)

// opener decrypts as package secret does, and counts.
type opener struct {
	password any // instead of the constant
	fails    error
	calls    int
}

func (o *opener) open(u *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	o.calls++
	if o.fails != nil {
		return nil, o.fails
	}
	plain := u.DeepCopy()
	delete(plain.Object, "sops")
	value := any(plainPassword)
	if o.password != nil {
		value = o.password
	}
	plain.Object["stringData"] = map[string]any{"password": value}
	return plain, nil
}

// sealed is an app with an encrypted Secret, of one ciphertext, and a ConfigMap.
func (g *ground) sealed(o *opener, ciphertext string) Target {
	g.Helper()
	t := g.target("app", fmt.Sprintf(sealedSecret, ciphertext, ciphertext)+"\n---\n"+plainBeside)
	t.Decrypt = o.open
	return t
}

// encoded is a text as the data of a Secret has it, in JSON.
func encoded(text string) string {
	data, err := json.Marshal([]byte(text))
	if err != nil {
		panic(err) // text
	}
	return string(data)
}

func TestEncryptedArrivesDecrypted(t *testing.T) {
	g := on(t)
	o := &opener{}
	first := g.sync(g.sealed(o, "one"))
	g.wantField(encoded(plainPassword), "decrypted", "Secret", "sealed", "data", "password")
	g.wantField("absent", "what SOPS says is not sent", "Secret", "sealed", "sops")
	id := object.ID{Kind: "Secret", Namespace: g.namespace, Name: "sealed"}

	again := g.sealed(o, "one")
	again.Known = first.Baselines
	g.requests.take()
	before := o.calls
	if result := g.sync(again); result.Baselines[id] != first.Baselines[id] || o.calls != before {
		t.Errorf("what is known was decrypted again, or has another baseline")
	}
	if all, _ := g.requests.take(); slices.ContainsFunc(all, func(line string) bool { return strings.Contains(line, "/secrets/") }) {
		t.Errorf("what is known costs the requests %v", all)
	}

	anew := g.sealed(o, "two")
	anew.Known = first.Baselines
	if result := g.sync(anew); result.Baselines[id].Desired == first.Baselines[id].Desired {
		t.Error("the digest does not name the ciphertext, so that it names the plaintext")
	}
	if _, writes := g.requests.take(); len(writes) != 1 {
		t.Errorf("encrypting anew costs %v, want one write", writes)
	}
	other := g.sealed(&opener{password: "another-one"}, "two")
	recovered, err := g.another().Recover(g.Context(), []Target{other})
	if err != nil || len(recovered[0]) != 1 {
		t.Errorf("recovered %v, %v; want the ConfigMap alone, since the Secret has another value", recovered, err)
	}
	other.Decrypt = o.open
	if recovered, err = g.another().Recover(g.Context(), []Target{other}); err != nil || len(recovered[0]) != 2 {
		t.Errorf("recovered %v, %v; want both", recovered, err)
	}
}

func TestEncryptedThatCannotBeDecrypted(t *testing.T) {
	g := on(t)
	o := &opener{}
	g.sync(g.sealed(o, "one"))
	tests := []struct {
		reason  string
		decrypt func(*unstructured.Unstructured) (*unstructured.Unstructured, error)
		want    string
	}{
		{"the key is missing", (&opener{fails: errors.New("no key opens it")}).open, "no key opens it"},
		{"nothing decrypts", nil, "nothing here decrypts it"},
		{"it is still encrypted", func(u *unstructured.Unstructured) (*unstructured.Unstructured, error) { return u, nil }, "SOPS twice"},
	}
	for i, test := range tests {
		target := g.sealed(o, "two")
		target.Decrypt = test.decrypt
		target.Bundle = g.target("app", strings.ReplaceAll(fmt.Sprintf(sealedSecret, "two", "two")+"\n---\n"+plainBeside, "{a: b}", fmt.Sprintf("{a: %q}", test.reason))).Bundle
		g.requests.take()
		result := g.sync(target)
		failed := result.Changes.With(change.Failed)
		if len(failed) != 1 || failed[0].Object.Name != "sealed" || !strings.Contains(failed[0].Reason, test.want) {
			t.Errorf("%s: %v, want that the Secret alone failed", test.reason, result.Changes)
		}
		if deleted := result.Changes.With(change.Deleted, change.Held); len(deleted) > 0 {
			t.Errorf("%s: pruned %v", test.reason, deleted)
		}
		_, writes := g.requests.take()
		if slices.ContainsFunc(writes, func(line string) bool { return strings.Contains(line, "/secrets/") }) {
			t.Errorf("%s: the Secret was written: %v", test.reason, writes)
		}
		g.wantField(encoded(plainPassword), "it stays as it was", "Secret", "sealed", "data", "password")
		g.wantField(fmt.Sprintf("%q", test.reason), fmt.Sprintf("everything else proceeds (%d)", i), "ConfigMap", "plain", "data", "a")
	}
}

func TestDecryptedValuesStayHidden(t *testing.T) {
	g := on(t)
	o := &opener{}
	target := g.sealed(o, "one")
	g.sync(target)
	g.patch("kubectl-edit", "Secret", "sealed", `{"stringData":{"password":"by-hand-4711","added":"sesame-0815"}}`)
	var shown []any
	shown = append(shown, g.diff(target))
	repaired := g.repair(target)
	shown = append(shown, repaired)
	if len(repaired.Changes.With(change.Corrected)) != 1 {
		t.Errorf("%v, want one correction", repaired.Changes)
	}
	g.wantField(encoded(plainPassword), "the drift is undone", "Secret", "sealed", "data", "password")
	g.wantField("absent", "the added value is removed", "Secret", "sealed", "data", "added")

	// An answer of the API server that quotes what it refuses.
	refused := g.sealed(&opener{password: plainPassword}, "two")
	refused.Decrypt = func(u *unstructured.Unstructured) (*unstructured.Unstructured, error) {
		plain, err := o.open(u)
		plain.Object["stringData"] = nil
		plain.Object["data"] = map[string]any{"password": plainPassword, "bad key/": plainPassword}
		plain.Object["type"] = plainPassword
		return plain, err
	}
	result := g.sync(refused)
	shown = append(shown, result)
	if len(result.Changes.With(change.Failed)) != 1 {
		t.Errorf("%v, want that the Secret failed", result.Changes)
	}
	numbers := g.sealed(&opener{password: int64(47110815)}, "three")
	result = g.sync(numbers)
	shown = append(shown, result)
	if failed := result.Changes.With(change.Failed); len(failed) != 1 || !strings.Contains(failed[0].Reason, "is no string") {
		t.Errorf("%v, want that a number was refused", result.Changes)
	}
	for _, value := range shown {
		text := fmt.Sprintf("%+v", value)
		for _, secret := range []string{plainPassword, encoded(plainPassword)[1:10], "by-hand-4711", "sesame-0815", "47110815"} {
			if strings.Contains(text, secret) {
				t.Errorf("%q is in %s", secret, text)
			}
		}
	}
}
