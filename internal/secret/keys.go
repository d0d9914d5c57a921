package secret

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"

	"filippo.io/age"
)

// Keys are the age identities of a key file. The file is read again when it has
// changed, so that keys are added and withdrawn without a restart. Keys are safe
// for concurrent use; nil Keys are none.
type Keys struct {
	file string

	mu         sync.Mutex
	read       fs.FileInfo // the file as it was read
	found      []age.Identity
	recipients []string
}

// Open reads a key file in the form of SOPS_AGE_KEY_FILE: an identity a line,
// empty lines, and comments that begin with "#". Nobody but its owner may be able
// to read it.
func Open(file string) (*Keys, error) {
	k := &Keys{file: file}
	if _, err := k.identities(); err != nil {
		return nil, err
	}
	return k, nil
}

// Recipients returns the public halves of the keys, as they were last read.
func (k *Keys) Recipients() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.recipients)
}

// Version names the state of the key file: it is another once the file has
// changed, is gone or is back. The file is not read. Nil Keys have none.
func (k *Keys) Version() string {
	if k == nil {
		return ""
	}
	info, err := os.Stat(k.file)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%d %d %s", info.ModTime().UnixNano(), info.Size(), info.Mode())
}

// identities returns the keys of the file as it is now. A file that cannot be
// read has none: keys that were withdrawn are not used on.
func (k *Keys) identities() ([]age.Identity, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	info, err := os.Stat(k.file)
	if err != nil {
		return nil, fmt.Errorf("reading age keys: %w", err)
	}
	if before := k.read; before != nil && os.SameFile(before, info) && before.ModTime().Equal(info.ModTime()) && before.Size() == info.Size() && before.Mode() == info.Mode() {
		return k.found, nil
	}
	k.read, k.found, k.recipients = nil, nil, nil
	f, err := os.Open(k.file)
	if err != nil {
		return nil, fmt.Errorf("reading age keys: %w", err)
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return nil, fmt.Errorf("reading age keys: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("reading age keys: %s is no file", k.file)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("reading age keys: others than its owner have access to %s, whose mode is %04o\nhint: chmod 600 %s", k.file, mode, k.file)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading age keys: %w", err)
	}
	found, recipients, err := parseKeys(data)
	if err != nil {
		return nil, fmt.Errorf("reading age keys of %s: %w", k.file, err)
	}
	k.read, k.found, k.recipients = info, found, recipients
	return found, nil
}

// maxKeyFile bounds the size of a key file, in bytes.
const maxKeyFile = 1 << 20

// parseKeys reads the identities of a key file, and their recipients. No line is
// repeated in an error.
func parseKeys(data []byte) (identities []age.Identity, recipients []string, err error) {
	if len(data) > maxKeyFile {
		return nil, nil, fmt.Errorf("the file is larger than %d bytes", maxKeyFile)
	}
	number := 0
	for row := range bytes.Lines(data) {
		number++
		line := strings.TrimSpace(string(row))
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "AGE-SECRET-KEY-PQ-1"):
			identity, err := age.ParseHybridIdentity(line)
			if err != nil {
				return nil, nil, fmt.Errorf("line %d is no age key, though it begins as one", number)
			}
			identities, recipients = append(identities, identity), append(recipients, short(identity.Recipient().String()))
		case strings.HasPrefix(line, "AGE-SECRET-KEY-1"):
			identity, err := age.ParseX25519Identity(line)
			if err != nil {
				return nil, nil, fmt.Errorf("line %d is no age key, though it begins as one", number)
			}
			identities, recipients = append(identities, identity), append(recipients, identity.Recipient().String())
		case strings.HasPrefix(line, "AGE-PLUGIN-"):
			return nil, nil, fmt.Errorf("line %d is a key of an age plug-in, which would be run as a program\nhint: add a key of age-keygen to the recipients", number)
		case strings.HasPrefix(line, "-----BEGIN"), strings.HasPrefix(line, "age-encryption.org/"):
			return nil, nil, fmt.Errorf("line %d begins an SSH key or a key file with a passphrase, which are not supported\nhint: use a key of age-keygen", number)
		default:
			return nil, nil, fmt.Errorf("line %d is no age key\nhint: age-keygen makes one; it begins with AGE-SECRET-KEY-1", number)
		}
	}
	if len(identities) == 0 {
		return nil, nil, fmt.Errorf("there is no key in it\nhint: age-keygen makes one")
	}
	return identities, recipients, nil
}
