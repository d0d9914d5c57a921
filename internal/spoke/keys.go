package spoke

import "nave.dev/internal/secret"

// Keys decrypt the Secrets of a process's spokes. Nil is no key.
type Keys = *secret.Keys

// OpenKeys reads a file of age identities, in the form of SOPS_AGE_KEY_FILE. A
// change of the file counts without more ado.
func OpenKeys(file string) (Keys, error) { return secret.Open(file) }

// tryKeys has apps with encrypted objects that could not be brought about tried
// again once the file of keys is another: the key that was missing may be there.
func (s *session) tryKeys() {
	version := s.spoke.opts.Keys.Version()
	if version == s.keys {
		return
	}
	s.keys = version
	for _, w := range s.apps {
		if w.bundle != nil && len(w.bundle.Encrypted) > 0 {
			w.tryAgain(s.now())
		}
	}
}
