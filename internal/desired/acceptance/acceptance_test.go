package acceptance

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// FuzzDecode reads the file as a disk or a person may have left it. What
// is not whole is no beginning, since that would ask for no signature.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{`{"commit":"c"}`, `{"commit":"c","signersFile":"s","signers":"YQ=="}`, `{"commit":"c","keyringFile":"k","keyring":"YQ=="}`, `{}`, `null`, `{"commit":""}`, `{"commit":1}`, "", "{"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := decode(data)
		if err == nil && a.Commit == "" {
			t.Errorf("%q was read as no commit at all", data)
		}
		file := filepath.Join(t.TempDir(), "accepted.json")
		if err != nil || a.Write(file) != nil {
			return
		}
		again, err := Read(file)
		if diff := cmp.Diff(a, again, cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Errorf("written and read again: %v\n%s", err, diff)
		}
	})
}
