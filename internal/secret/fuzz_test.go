package secret

import (
	"os"
	"path/filepath"
	"testing"
)

func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.*")
	if err != nil || len(files) == 0 {
		f.Fatalf("no files to begin with: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(filepath.Base(file), data)
	}
	f.Add("a.yaml", []byte("a: &a [*a]\nsops: {mac: x}\n"))
	key := make([]byte, 32)
	f.Fuzz(func(_ *testing.T, name string, data []byte) {
		form := formatOf(name, data)
		doc, err := parse(form, data)
		if err != nil {
			return
		}
		// Nothing opens with this key, yet every value is looked at.
		for _, branch := range doc.branches {
			_ = walker{doc.meta, key, discard{}}.mapping(branch, nil, nil)
		}
		_ = doc.meta.recipients()
		_, _ = emit(form, doc)
	})
}

// discard is a hash of nothing.
type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) Sum(b []byte) []byte         { return b }
func (discard) Reset()                      {}
func (discard) Size() int                   { return 0 }
func (discard) BlockSize() int              { return 1 }

func FuzzValue(f *testing.F) {
	f.Add("ENC[AES256_GCM,data:9xMc,iv:27GnUHad+fVbz4BHgWvVFiFbr+WO0Wi9g5wFuLQ3ZcM=,tag:fS85AHgxzqIG0TZg5K6lRw==,type:str]")
	f.Add("ENC[AES256_GCM,data:,iv:,tag:,type:]")
	f.Fuzz(func(t *testing.T, text string) {
		if value, err := decryptValue(text, make([]byte, 32), []string{"data"}); err == nil && text != "" {
			t.Errorf("%q opens with no key to %v", text, value)
		}
	})
}

func FuzzParseKeys(f *testing.F) {
	for _, name := range []string{"one.key", "pq.key"} {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		identities, recipients, err := parseKeys(data)
		if err == nil && (len(identities) == 0 || len(identities) != len(recipients)) {
			t.Errorf("%d identities with %d recipients", len(identities), len(recipients))
		}
	})
}
