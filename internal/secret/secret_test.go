package secret

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"nave.dev/internal/app"
	"nave.dev/internal/object"
)

// The files in testdata were made by sops 3.13.3, and those named .plain are what
// it decrypts them to.

// testdata returns the content of a file.
func testdata(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// keys opens the keys of some files of testdata.
func keys(t *testing.T, names ...string) *Keys {
	t.Helper()
	var text string
	for _, name := range names {
		text += testdata(t, name+".key")
	}
	file := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	k, err := Open(file)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// objects reads the objects of a manifest.
func objects(t *testing.T, text string) (found []*unstructured.Unstructured) {
	t.Helper()
	for doc := range strings.SplitSeq(text, "\n---\n") {
		u := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(doc), &u.Object); err != nil {
			t.Fatal(err)
		}
		found = append(found, u)
	}
	return found
}

var plainSecret = map[string]any{
	"data": map[string]any{"password": "aHVudGVyMg==", "certificate": "c2VzYW1l"},
	"stringData": map[string]any{
		"url": "postgres://shop:hunter2@database/shop?sslmode=disable", "empty": "", "lines": "first\nsecond\n",
	},
}

func TestDecrypt(t *testing.T) {
	tests := []struct {
		reason, file string
		keys         []string
		want         map[string]any // data and stringData
	}{
		{"the first of two recipients", "secret.yaml", []string{"one"}, plainSecret},
		{"the second of two recipients", "secret.yaml", []string{"two"}, plainSecret},
		{"a key of several", "secret.yaml", []string{"pq", "two"}, plainSecret},
		{"a post-quantum key", "pq.yaml", []string{"pq"}, plainSecret},
		{"a MAC of the encrypted values alone", "mac-only.yaml", []string{"one"}, plainSecret},
		{"a rule of what is not encrypted", "unencrypted-regex.yaml", []string{"one"}, plainSecret},
		{"a rule by suffix", "encrypted-suffix.yaml", []string{"one"}, plainSecret},
		{"JSON", "secret.json", []string{"one"}, map[string]any{"stringData": map[string]any{"token": "from <json> & more", "list": "x"}}},
		{"the first of two documents", "multi.yaml", []string{"one"}, map[string]any{"stringData": map[string]any{"token": "sesame-one"}}},
	}
	for _, test := range tests {
		text := testdata(t, test.file)
		u := objects(t, text)[0]
		u.SetNamespace("elsewhere")
		u.SetName("prefix-" + u.GetName())
		u.SetLabels(map[string]string{"added": "label"})
		before := u.DeepCopy()
		plain, err := keys(t, test.keys...).Decrypt(u, []app.EncryptedFile{{Path: "other.yaml", Data: []byte("a: b")}, {Path: "app/" + test.file, Data: []byte(text)}})
		if err != nil {
			t.Errorf("%s: %v", test.reason, err)
			continue
		}
		if diff := cmp.Diff(before.Object, u.Object); diff != "" {
			t.Errorf("%s: what was given was changed:\n%s", test.reason, diff)
		}
		want := before.DeepCopy()
		delete(want.Object, "sops")
		for field, values := range test.want {
			want.Object[field] = values
		}
		if diff := cmp.Diff(want.Object, plain.Object); diff != "" {
			t.Errorf("%s (-want +have):\n%s", test.reason, diff)
		}
		if object.Encrypted(plain) {
			t.Errorf("%s: it still counts as encrypted", test.reason)
		}
	}
}

func TestDecryptEachDocument(t *testing.T) {
	text := testdata(t, "multi.yaml")
	for i, want := range []string{"sesame-one", "sesame-two"} {
		plain, err := keys(t, "one").Decrypt(objects(t, text)[i], []app.EncryptedFile{{Path: "multi.yaml", Data: []byte(text)}})
		if err != nil {
			t.Fatal(err)
		}
		if have, _, _ := unstructured.NestedString(plain.Object, "stringData", "token"); have != want {
			t.Errorf("document %d has the token %q, want %q", i, have, want)
		}
	}
}

// values finds the encrypted values of a file.
var values = regexp.MustCompile(`ENC\[[^\]]*\]`)

func TestTampered(t *testing.T) {
	replace := func(old, with string) func(string) string {
		return func(text string) string { return strings.Replace(text, old, with, 1) }
	}
	swap := func(text string) string {
		found := values.FindAllString(text, -1)
		password, certificate := found[1], found[2]
		return strings.NewReplacer(password, certificate, certificate, password).Replace(text)
	}
	tests := []struct {
		reason, file string
		change       func(string) string
		want         string
	}{
		{"a label", "secret.yaml", replace("app: checkout", "app: cart"), "its MAC is wrong"},
		{"the name", "secret.yaml", replace("name: database", "name: databases"), "its MAC is wrong"},
		{"two values changed places", "secret.yaml", swap, "does not open with the file's key"},
		{"a value was replaced by plaintext", "secret.yaml", func(text string) string {
			return strings.Replace(text, values.FindAllString(text, -1)[1], "aGFja2Vk", 1)
		}, "data.password: it is no value that sops encrypted"},
		{"a value was added", "secret.yaml", replace("stringData:\n", "stringData:\n    added: plain\n"), "stringData.added: it is no value that sops encrypted"},
		{"a value was emptied", "secret.yaml", func(text string) string {
			return strings.Replace(text, values.FindAllString(text, -1)[1], `""`, 1)
		}, "its MAC is wrong"},
		{"a document was taken away", "multi.yaml", func(text string) string { return strings.Split(text, "\n---\n")[0] + "\n" }, "its MAC is wrong"},
		{"the time of the last change", "secret.yaml", replace(`lastmodified: "20`, `lastmodified: "19`), "its MAC is wrong"},
		{"the rule of the MAC", "mac-only.yaml", replace("    mac_only_encrypted: true\n", ""), "its MAC is wrong"},
		{"a value of an unknown type", "multi.yaml", replace("type:str]", "type:secret]"), "it is not of its type secret"},
		{"a JSON object after the first", "secret.json", func(text string) string { return text + "{}" }, "something follows"},
	}
	for _, test := range tests {
		text := testdata(t, test.file)
		u := objects(t, text)[0]
		changed := test.change(text)
		if changed == text {
			t.Fatalf("%s: nothing was changed", test.reason)
		}
		_, err := keys(t, "one").Decrypt(u, []app.EncryptedFile{{Path: "app/" + test.file, Data: []byte(changed)}})
		if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "app/"+test.file) {
			t.Errorf("%s: error %v, want one that names the file and says %q", test.reason, err, test.want)
		}
		if err != nil {
			noPlaintext(t, test.reason, err.Error())
		}
	}
}

// noPlaintext looks for values of testdata in what people may see.
func noPlaintext(t *testing.T, reason, text string) {
	t.Helper()
	for _, value := range []string{"hunter2", "aHVudGVyMg==", "c2VzYW1l", "sesame", "AGE-SECRET-KEY"} {
		if strings.Contains(text, value) {
			t.Errorf("%s: %q is in %s", reason, value, text)
		}
	}
}

func TestTransformed(t *testing.T) {
	text := testdata(t, "secret.yaml")
	other := objects(t, testdata(t, "mac-only.yaml"))[0]
	set := func(value any, path ...string) func(*unstructured.Unstructured) {
		return func(u *unstructured.Unstructured) {
			if err := unstructured.SetNestedField(u.Object, value, path...); err != nil {
				t.Fatal(err)
			}
		}
	}
	sealed, _, _ := unstructured.NestedString(objects(t, text)[0].Object, "data", "password")
	foreign, _, _ := unstructured.NestedString(other.Object, "data", "password")
	tests := []struct {
		reason string
		change func(*unstructured.Unstructured)
		want   string
	}{
		{"a value under another name", set(sealed, "data", "renamed"), "decrypting data.renamed: it does not open"},
		{"a value of another file", set(foreign, "data", "password"), "decrypting data.password: it does not open"},
		{"a value in plaintext", set("aGFja2Vk", "data", "password"), "data.password is not encrypted"},
		{"a value outside of the data", set(sealed, "metadata", "annotations", "password"), "metadata.annotations.password is encrypted; only data and stringData may be"},
		{"another kind", set("ConfigMap", "kind"), "only a Secret may be, and not a ConfigMap"},
		{"a kind of the name in another group", set("example.com/v1", "apiVersion"), "only a Secret may be, and not a Secret.example.com"},
		{"the MAC of no file", set("ENC[AES256_GCM,data:x]", "sops", "mac"), "not among those it was rendered from"},
	}
	for _, test := range tests {
		u := objects(t, text)[0]
		test.change(u)
		_, err := keys(t, "one").Decrypt(u, []app.EncryptedFile{{Path: "secret.yaml", Data: []byte(text)}})
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want %q", test.reason, err, test.want)
		}
	}
	copied := []app.EncryptedFile{{Path: "a.yaml", Data: []byte(text)}, {Path: "b.yaml", Data: []byte(strings.Replace(text, "name: database", "name: mine", 1))}}
	if _, err := keys(t, "one").Decrypt(objects(t, text)[0], copied); err == nil || !strings.Contains(err.Error(), "decrypting b.yaml: its MAC is wrong") {
		t.Errorf("error %v, want one of the changed copy", err)
	}
}

func TestWhoCanDecrypt(t *testing.T) {
	pgp := "    pgp:\n        - created_at: \"2024-05-06T07:08:09Z\"\n          enc: x\n          fp: FBC7B9E2A4F9289AC0C1D4843D16CEE4A27381B4\n    kms:\n        - arn: arn:aws:kms:eu-west-1:1:key/2\n"
	age := regexp.MustCompile(`(?s)    age:\n.*?(    encrypted_regex:)`)
	tests := []struct {
		reason, file string
		change       func(string) string
		keys         *Keys
		want         []string
	}{
		{"no key", "secret.yaml", nil, nil, []string{"encrypted for age1cwhndhxmwk4ylhx5l8r8s9tvd2luqlhyn8a2uytayufxva7ymy2q9xvzkp, age1", "there is no age key", "--age-key-file"}},
		{"another key", "multi.yaml", nil, keys(t, "two"), []string{"encrypted for age1cwhndhxmwk4ylhx5l8r8s9tvd2luqlhyn8a2uytayufxva7ymy2q9xvzkp", "the hub, which has " + keys(t, "two").Recipients()[0], "sops updatekeys"}},
		{"other key services", "multi.yaml", func(text string) string { return age.ReplaceAllString(text, pgp+"$1") }, keys(t, "one"),
			[]string{"encrypted for pgp FBC7B9E2A4F9289AC0C1D4843D16CEE4A27381B4, AWS KMS arn:aws:kms:eu-west-1:1:key/2, and none"}},
		{"a divided key", "shamir.yaml", nil, keys(t, "one", "two"), []string{"divided among 2 groups"}},
		{"a damaged key", "multi.yaml", func(text string) string { return strings.ReplaceAll(text, "BEGIN AGE", "BEGINN AGE") }, keys(t, "one"), []string{"none of them is an age key of the hub"}},
	}
	for _, test := range tests {
		text := testdata(t, test.file)
		if test.change != nil {
			text = test.change(text)
		}
		u := objects(t, text)[0]
		u.SetKind("Secret") // shamir.yaml is encrypted as a whole
		u.SetAPIVersion("v1")
		_, err := test.keys.Decrypt(u, []app.EncryptedFile{{Path: test.file, Data: []byte(text)}})
		if err == nil {
			t.Errorf("%s: no error", test.reason)
			continue
		}
		for _, want := range test.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %v, want %q in it", test.reason, err, want)
			}
		}
	}
}

func TestContents(t *testing.T) {
	tests := []struct{ reason, file, name string }{
		{"YAML with all types and comments", "config.yaml", "config.yaml"},
		{"JSON", "config.json", "config.json"},
		{"dotenv", "settings.env", "settings.env"},
		{"a binary file", "token.bin", "token"},
		{"YAML whose comments say what is encrypted", "marked.yaml", "marked.yaml"},
		{"YAML whose comments say what is not", "unmarked.yaml", "unmarked.yaml"},
	}
	for _, test := range tests {
		u := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": "generated"},
			"stringData": map[string]any{test.name: testdata(t, test.file), "plain": "stays"},
		}}
		if !object.Encrypted(u) {
			t.Errorf("%s: it does not count as encrypted", test.reason)
		}
		plain, err := keys(t, "one").Decrypt(u, nil)
		if err != nil {
			t.Errorf("%s: %v", test.reason, err)
			continue
		}
		want := map[string]any{test.name: testdata(t, test.file+".plain"), "plain": "stays"}
		if diff := cmp.Diff(want, plain.Object["stringData"]); diff != "" {
			t.Errorf("%s (-want +have):\n%s", test.reason, diff)
		}
	}
	for name, text := range map[string]string{"old.ini": testdata(t, "old.ini"), "config.yaml": strings.Replace(testdata(t, "config.yaml"), "open_unencrypted: readable", "open_unencrypted: other", 1)} {
		u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Secret", "stringData": map[string]any{name: text}}}
		if _, err := keys(t, "one").Decrypt(u, nil); err == nil || !strings.Contains(err.Error(), "decrypting the file in stringData."+name) {
			t.Errorf("%s: error %v, want one that names the value", name, err)
		}
	}
}
