package object

import (
	"encoding/base64"
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// ciphertextMark is in every value that SOPS encrypted.
const ciphertextMark = "ENC[AES256_GCM,data:"

// Ciphertext reports whether a text is a value that SOPS encrypted.
func Ciphertext(text string) bool {
	return strings.HasPrefix(text, ciphertextMark) && strings.HasSuffix(text, "]")
}

// sopsMetadata is how SOPS' own part of a file begins, in any of its formats.
var sopsMetadata = regexp.MustCompile(`(?m)^sops:|"sops"\s*:|^sops_mac\s*=|^\[sops\]`)

// EncryptedFile reports whether content is a file that SOPS encrypted.
func EncryptedFile(content string) bool {
	return strings.Contains(content, ciphertextMark) && sopsMetadata.MatchString(content)
}

// EncryptionMAC returns the MAC of the file in which SOPS encrypted an object,
// which the object repeats. It is false for an object that is not encrypted.
func EncryptionMAC(u *unstructured.Unstructured) (string, bool) {
	sops, _ := u.Object["sops"].(map[string]any)
	mac, ok := sops["mac"].(string)
	return mac, ok && mac != ""
}

// SecretText returns a value of a Secret, which is of its field data or
// stringData, as whoever uses the Secret sees it. It is false for what is no text.
func SecretText(field string, value any) (string, bool) {
	text, ok := value.(string)
	if ok && field == "data" {
		plain, err := base64.StdEncoding.DecodeString(text)
		return string(plain), err == nil
	}
	return text, ok
}

// Encrypted reports whether an object must be decrypted before it is applied:
// because SOPS encrypted it, or, in a Secret, a file that it holds. One whose annotation
// disables that is applied as it is.
func Encrypted(u *unstructured.Unstructured) bool {
	if strings.EqualFold(u.GetAnnotations()[fluxDecrypt], "disabled") {
		return false
	}
	if _, ok := EncryptionMAC(u); ok {
		return true
	}
	if u.GroupVersionKind().Group != "" || u.GetKind() != "Secret" {
		return false
	}
	for _, field := range []string{"data", "stringData"} {
		values, _ := u.Object[field].(map[string]any)
		for _, value := range values {
			if text, ok := SecretText(field, value); ok && EncryptedFile(text) {
				return true
			}
		}
	}
	return false
}
