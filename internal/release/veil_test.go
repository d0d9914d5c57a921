package release

import (
	"errors"
	"testing"

	"nave.dev/internal/app"
)

func TestVeil(t *testing.T) {
	r := &run{}
	secret := app.ValuesFrom{Kind: "Secret", Namespace: "shop", Name: "keys"}
	if _, err := r.fill(nil, secret, []byte("password: swordfish\nnested: {list: [\"two\\nlines of it\", 12345, true, 3, '']}\nlong: swordfish-and-more\n")); err != nil {
		t.Fatal(err)
	}
	secret.Target = "token"
	if _, err := r.fill(map[string]any{}, secret, []byte(`say "hello"`)); err != nil {
		t.Fatal(err)
	}
	plain := app.ValuesFrom{Kind: "ConfigMap", Namespace: "shop", Name: "site"}
	if _, err := r.fill(nil, plain, []byte("region: eu-central")); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		`password: got "swordfish"`:         `password: got "(withheld)"`,
		"long swordfish-and-more":           "long (withheld)",
		`a quoted "two\nlines of it"`:       `a quoted "(withheld)"`,
		"one of the lines of it":            "one of the (withheld)",
		"port 12345 is true, 3 replicas":    "port (withheld) is true, 3 replicas",
		`said "say \"hello\""`:              `said "(withheld)"`,
		"the region eu-central is not read": "the region eu-central is not read",
	} {
		if got := r.veil(errors.New(text)).Error(); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
	if r.veil(nil) != nil {
		t.Error("no error becomes one")
	}
	same := errors.New("something else")
	if r.veil(same) != same {
		t.Error("an error without secrets is made anew")
	}
}
