// Package provenance checks the signed statement that a Helm chart may come with, a .prov file as "helm package --sign"
// writes it: a clear-signed message with the chart's metadata and the digests of archives. Verify is all there is. The
// package fetches nothing and trusts no key by itself.
package provenance

import (
	"bytes"
	"errors"
	"fmt"
	"path"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"go.yaml.in/yaml/v3"

	"nave.dev/internal/keyring"
)

// Claim is what a statement has to say.
type Claim struct {
	Chart   string // of which the last element counts
	Version string
	Digest  string // of the archive, as hexadecimal digits of SHA-256
}

// Verify reports an error unless a statement is signed by a key of the keyring and makes the claim. An archive that was
// signed as another version or chart is refused. The keyring is armored or binary.
func Verify(statement, keys []byte, claim Claim) error {
	trusted, err := keyring.Parse(keys)
	if err != nil {
		return err
	}
	return keyring.Try(func() error { return verify(statement, trusted, claim) })
}

func verify(statement []byte, trusted openpgp.EntityList, claim Claim) error {
	block, rest := clearsign.Decode(statement)
	if block == nil {
		return errors.New("its provenance file is not a signed message")
	}
	if len(bytes.TrimSpace(rest)) > 0 {
		return errors.New("its provenance file holds more than one message")
	}
	if _, err := block.VerifySignature(trusted, nil); err != nil {
		return fmt.Errorf("checking the signature of its provenance file: %w", err)
	}
	// The metadata, a line of dots, and the digests by file.
	_, sums, ok := bytes.Cut(block.Plaintext, []byte("\n...\n"))
	if !ok {
		return errors.New("its provenance file states no digests")
	}
	var stated struct {
		Files map[string]string `yaml:"files"`
	}
	if err := yaml.Unmarshal(sums, &stated); err != nil {
		return fmt.Errorf("reading its provenance file: %w", err)
	}
	file := path.Base(claim.Chart) + "-" + claim.Version + ".tgz"
	switch have := stated.Files[file]; have {
	case "sha256:" + claim.Digest:
		return nil
	case "":
		return fmt.Errorf("its provenance file says nothing of %s", file)
	default:
		return fmt.Errorf("its provenance file says that %s has the digest %s", file, have)
	}
}
