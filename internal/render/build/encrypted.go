package build

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"nave.dev/internal/app"
	"nave.dev/internal/object"
	"nave.dev/internal/render/manifest"
	"nave.dev/internal/render/tree"
)

// encryptedFiles is a tree that keeps the encrypted files which were read of it.
type encryptedFiles struct {
	tree.Tree
	mu    sync.Mutex
	found map[string][]byte
}

// ReadFile implements tree.Tree.
func (e *encryptedFiles) ReadFile(name string) ([]byte, error) {
	data, err := e.Tree.ReadFile(name)
	if err == nil && object.EncryptedFile(string(data)) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.found[name] = data
	}
	return data, err
}

// carry adds the files that encrypted objects came from to the output. An object
// repeats the MAC of its file, which no other file has.
func (f *finisher) carry(files *encryptedFiles) {
	for _, name := range slices.Sorted(maps.Keys(files.found)) {
		data := files.found[name]
		for mac := range f.macs {
			if bytes.Contains(data, []byte(mac)) {
				f.out.Encrypted = append(f.out.Encrypted, app.EncryptedFile{Path: name, Data: data})
				break
			}
		}
	}
	for _, mac := range slices.Sorted(maps.Keys(f.macs)) {
		if !slices.ContainsFunc(f.out.Encrypted, func(file app.EncryptedFile) bool { return bytes.Contains(file.Data, []byte(mac)) }) {
			f.warn("%s", f.macs[mac].Problem("deliver the file as sops wrote it",
				"is encrypted, and no file that was read has its sops.mac: it cannot be checked, so that it will not be applied").String())
		}
	}
}

const (
	hintWhole   = `encrypt values alone: encrypted_regex: "^(data|stringData)$" in .sops.yaml`
	hintOutside = "encrypt each Secret as a document of its own; a List, or a part of an object, cannot be decrypted"
	hintEnvs    = "keep the whole file encrypted, by files instead of envs, or write an encrypted Secret"
	hintKind    = "move what is secret into a Secret: API servers and controllers show values of other kinds in errors and logs"
)

// checkEncryption refuses what is encrypted and could not be decrypted where it
// is applied, so that no cluster is sent ciphertext in the place of a value.
func checkEncryption(o manifest.Object) (problems manifest.Problems) {
	fail := func(hint, format string, args ...any) { problems = append(problems, o.Problem(hint, format, args...)) }
	for _, value := range []string{o.GetAPIVersion(), o.GetKind(), o.GetName(), o.GetNamespace()} {
		if object.Ciphertext(value) {
			whole := manifest.Problem{File: o.File, Line: o.Line, Hint: hintWhole, Message: "is encrypted with SOPS as a whole, its kind or name included"}
			return manifest.Problems{whole}
		}
	}
	_, encrypted := object.EncryptionMAC(o.Unstructured)
	secret := o.GroupVersionKind().Group == "" && o.GetKind() == "Secret"
	if encrypted && !secret {
		fail(hintKind, "is encrypted with SOPS, which only a Secret may be")
		return problems
	}
	texts(o.Object, nil, func(path []string, text string) {
		where := strings.Join(path, ".")
		values := secret && (path[0] == "data" || path[0] == "stringData")
		whole := object.Ciphertext(text)
		switch {
		case path[0] == "sops" && encrypted:
		case whole && !encrypted:
			fail(hintOutside, "has the encrypted value %s, and nothing that SOPS says of it", where)
		case whole && !values:
			fail(hintWhole, "has the encrypted value %s: only data and stringData may be", where)
		case whole:
		case values:
			if plain, _ := object.SecretText(path[0], text); object.Ciphertext(plain) {
				fail(hintEnvs, "has the encrypted value %s without the rest of its file", where)
			}
		case object.EncryptedFile(text):
			fail(hintKind, "holds a file that is encrypted with SOPS in %s, which only a Secret may", where)
		}
	})
	return problems
}

// texts calls visit with every text in a value, in the order of keys.
func texts(value any, path []string, visit func(path []string, text string)) {
	switch value := value.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(value)) {
			texts(value[key], append(slices.Clip(path), key), visit)
		}
	case []any:
		for i, item := range value {
			texts(item, append(slices.Clip(path), fmt.Sprint(i)), visit)
		}
	case string:
		visit(path, value)
	}
}
