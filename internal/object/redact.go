package object

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// lastApplied repeats a whole object in one annotation.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// Redact returns the object as it may be shown, stored or logged: each value of
// a Secret is veiled, and so is what SOPS says of an encrypted one, which is long
// and tells people nothing. Other objects are returned as they are.
func Redact(u *unstructured.Unstructured, key []byte) *unstructured.Unstructured {
	if u.GroupVersionKind().Group != "" || u.GetKind() != "Secret" {
		return u
	}
	redacted := u.DeepCopy()
	for _, field := range []string{"data", "stringData"} {
		switch values := redacted.Object[field].(type) {
		case nil:
		case map[string]any:
			for name, value := range values {
				values[name] = Veil(value, key)
			}
		default:
			redacted.Object[field] = Veil(values, key)
		}
	}
	if _, ok := EncryptionMAC(redacted); ok {
		redacted.Object["sops"] = Veil(redacted.Object["sops"], key)
	}
	// Not by GetAnnotations, which knows none if any one of them is no text.
	metadata, _ := redacted.Object["metadata"].(map[string]any)
	if annotations, ok := metadata["annotations"].(map[string]any); ok && annotations[lastApplied] != nil {
		annotations[lastApplied] = Veil(annotations[lastApplied], key)
	}
	return redacted
}

// Veil returns what stands for a secret value: a short keyed digest, so that a
// change can be seen and the value cannot, not even by guessing. That needs a
// key that nobody guesses either: with an empty one all values look the same.
func Veil(value any, key []byte) string {
	data, err := json.Marshal(value)
	if err != nil || len(key) == 0 {
		return "redacted"
	}
	mac := hmac.New(sha256.New, key)
	mac.Write(data)
	return "redacted:" + hex.EncodeToString(mac.Sum(nil)[:4])
}
