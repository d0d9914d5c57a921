package spoke

import "nave.dev/internal/secret"

// Keys decrypt the Secrets of a process's spokes. Nil is no key.
type Keys = *secret.Keys

// OpenKeys reads a file of age identities, in the form of SOPS_AGE_KEY_FILE. A
// change of the file counts without more ado.
func OpenKeys(file string) (Keys, error) { return secret.Open(file) }
