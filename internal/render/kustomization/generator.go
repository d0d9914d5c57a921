package kustomization

import (
	"path"
	"strings"

	"go.yaml.in/yaml/v3"

	"nave.dev/internal/object"
)

// generator checks the files of a ConfigMap or Secret generator, each as NAME or KEY=NAME. An encrypted file may
// become a value of a Secret, which is decrypted when it is applied; its lines may not.
func (w *walker) generator(s scope, item *yaml.Node, secret bool) {
	fields(item, func(key string, value *yaml.Node) {
		switch key {
		case "files", "envs", "env":
			each(value, func(n *yaml.Node) {
				name := *n
				if _, after, ok := strings.Cut(n.Value, "="); ok && key == "files" {
					name.Value = after
				}
				before := len(w.problems)
				w.file(scope{dir: s.dir, file: s.file}, &name)
				if len(w.problems) > before || key == "files" && secret {
					return
				}
				data, err := w.tree.ReadFile(path.Join(s.dir, name.Value))
				switch {
				case err != nil:
					w.fail(s.file, n, "", "refers to %q: %v", name.Value, err)
				case !object.EncryptedFile(string(data)):
				case secret:
					w.fail(s.file, n, "list it under files, as a whole, or write an encrypted Secret", "takes %q apart, which is encrypted with SOPS", name.Value)
				default:
					w.fail(s.file, n, "put it into a Secret, by secretGenerator", "puts %q, which is encrypted with SOPS, into a ConfigMap", name.Value)
				}
			})
		}
	})
}
