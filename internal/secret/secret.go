// Package secret decrypts what SOPS encrypted for age keys. The main type is
// Keys: the identities of a key file, which decrypt the Secrets of an app value
// by value, as they stand after rendering, once the files that they came from
// are found as SOPS left them. It reads SOPS' own formats with age as its only
// key service: SOPS' packages cannot be had without those of all clouds. It
// encrypts nothing, keeps no plaintext and writes none into an error.
package secret

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"nave.dev/internal/app"
	"nave.dev/internal/object"
)

// Decrypt returns a Secret as it is to be applied. One that is encrypted as an
// object must come from one of the files, and those must be as SOPS left them;
// a value that is a whole encrypted file is checked by itself. The object given
// is not changed. Nil Keys decrypt nothing, and say so.
func (k *Keys) Decrypt(u *unstructured.Unstructured, files []app.EncryptedFile) (*unstructured.Unstructured, error) {
	if id := object.Of(u); id.Group != "" || id.Kind != "Secret" {
		return nil, fmt.Errorf("it is encrypted with SOPS, which only a Secret may be, and not a %s", id.GroupKind())
	}
	plain := u.DeepCopy()
	if mac, ok := object.EncryptionMAC(u); ok {
		opened, err := k.openFiles(mac, files)
		if err != nil {
			return nil, err
		}
		delete(plain.Object, "sops")
		for _, name := range slices.Sorted(maps.Keys(plain.Object)) {
			if plain.Object[name], err = opened.values(plain.Object[name], []string{name}); err != nil {
				return nil, err
			}
		}
	}
	for _, field := range []string{"data", "stringData"} {
		if err := k.decryptContents(plain, field); err != nil {
			return nil, err
		}
	}
	return plain, nil
}

// opened is an encrypted file that was found as SOPS left it.
type opened struct {
	key   []byte
	rules rules
}

// openFiles checks all files with a MAC. Two of them are copies, of which none
// may have been changed.
func (k *Keys) openFiles(mac string, files []app.EncryptedFile) (found opened, err error) {
	ok := false
	for _, file := range files {
		if !strings.Contains(string(file.Data), mac) {
			continue
		}
		doc, err := parse(formatOf(file.Path, file.Data), file.Data)
		if err != nil {
			return found, fmt.Errorf("reading the encrypted file %s: %w", file.Path, err)
		}
		if doc.meta.mac != mac {
			continue
		}
		key, err := k.decrypt(doc)
		if err != nil {
			return found, fmt.Errorf("decrypting %s: %w", file.Path, err)
		}
		found, ok = opened{key, doc.meta.rules}, true
	}
	if !ok {
		return found, errors.New("the file that it was encrypted in is not among those it was rendered from, so that its MAC cannot be checked; deliver the file that sops wrote")
	}
	return found, nil
}

// values decrypts what is in a value of a rendered object. All that the file's
// rules call encrypted must be; comments are gone, so that rules about them are
// not held against it.
func (o opened) values(in any, path []string) (any, error) {
	var err error
	switch in := in.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(in)) {
			if in[key], err = o.values(in[key], append(path, key)); err != nil {
				return nil, err
			}
		}
	case []any:
		for i := range in {
			if in[i], err = o.values(in[i], path); err != nil {
				return nil, err
			}
		}
	case string:
		secret := path[0] == "data" || path[0] == "stringData"
		where := strings.Join(path, ".")
		switch {
		case !object.Ciphertext(in):
			if secret && in != "" && !o.rules.byComment() && o.rules.encrypts(path, nil, false) {
				return nil, fmt.Errorf("%s is not encrypted, as it is in the file that it came from; change values with sops edit, not by patches", where)
			}
			return in, nil
		case !secret:
			return nil, fmt.Errorf("%s is encrypted; only data and stringData may be", where)
		}
		value, err := decryptValue(in, o.key, path)
		if err != nil {
			return nil, fmt.Errorf("decrypting %s: %w; it was encrypted elsewhere, or under another name", where, err)
		}
		if _, ok := value.(string); !ok {
			return nil, fmt.Errorf("%s is no text once it is decrypted; quote it with sops edit", where)
		}
		return value, nil
	}
	return in, nil
}

// decryptContents decrypts the values of a field that are encrypted files.
func (k *Keys) decryptContents(u *unstructured.Unstructured, field string) error {
	values, _ := u.Object[field].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(values)) {
		content, ok := object.SecretText(field, values[name])
		if !ok || !object.EncryptedFile(content) {
			continue
		}
		format := formatOf(name, []byte(content))
		doc, err := parse(format, []byte(content))
		if err == nil {
			_, err = k.decrypt(doc)
		}
		var plain []byte
		if err == nil {
			plain, err = emit(format, doc)
		}
		if err != nil {
			return fmt.Errorf("decrypting the file in %s.%s: %w", field, name, err)
		}
		if field == "data" {
			values[name] = base64.StdEncoding.EncodeToString(plain)
		} else {
			values[name] = string(plain)
		}
	}
	return nil
}
