package apply

import (
	"errors"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"nave.dev/internal/object"
)

// sealedDigest names what is to be applied of an encrypted object by what Git
// has. A digest of the plaintext could be guessed where the plaintext can.
// Encrypting anew therefore costs one write.
func (r *run) sealedDigest(it *item, sealed *unstructured.Unstructured) (string, error) {
	marked := sealed.DeepCopy()
	object.Mark(marked, r.owner, it.id, false)
	data, err := object.Canonical(marked)
	if err != nil {
		return "", err
	}
	var left []string // fields that are taken out of the plaintext
	for _, rule := range r.rules {
		if rule.applies(it.id) {
			left = append(left, rule.paths...)
		}
	}
	return object.Digest(data, []byte(strings.Join(left, "\n"))), nil
}

// decrypt returns an encrypted object in plaintext. What is still encrypted is
// never sent to a cluster.
func (r *run) decrypt(sealed *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	if r.target.Decrypt == nil {
		return nil, errors.New("it is encrypted with SOPS, and nothing here decrypts it")
	}
	plain, err := r.target.Decrypt(sealed)
	if err != nil {
		return nil, err
	}
	if object.Encrypted(plain) {
		return nil, errors.New("it is encrypted with SOPS twice, of which one is undone")
	}
	return plain, nil
}
