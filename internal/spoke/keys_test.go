package spoke

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"nave.dev/internal/app"
)

// TestKeyThatComesLater has an app wait for its next attempt when the file of keys
// changes.
func TestKeyThatComesLater(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys")
	keep := func(names ...string) {
		t.Helper()
		var text []byte
		for _, name := range names {
			key, err := os.ReadFile(filepath.Join("..", "secret", "testdata", name))
			if err != nil {
				t.Fatal(err)
			}
			text = append(text, key...)
		}
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	keep("one.key")
	keys, err := OpenKeys(file)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1_800_000_000, 0)
	waiting := func(name string, encrypted ...app.EncryptedFile) *work {
		w := newWork(name, now)
		w.bundle, w.retryAt, w.failures = &app.Bundle{Digest: name, Encrypted: encrypted}, now.Add(lastAppRetry), 9
		return w
	}
	sealed, plain := waiting("sealed", app.EncryptedFile{}), waiting("plain")
	s := &session{
		spoke: New(Options{Keys: keys, Now: func() time.Time { return now }}),
		apps:  map[string]*work{"sealed": sealed, "plain": plain, "unknown": newWork("unknown", now)}, keys: keys.Version(),
	}
	if s.tryKeys(); sealed.due(now) {
		t.Error("the file is the same, and the app is tried again")
	}
	keep("one.key", "two.key")
	if s.tryKeys(); !sealed.due(now) || sealed.failures != 0 || plain.due(now) {
		t.Errorf("another key: the app that waits for one is due %t, another one %t", sealed.due(now), plain.due(now))
	}
	sealed.retryAt = now.Add(lastAppRetry)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if s.tryKeys(); !sealed.due(now) {
		t.Error("the file is gone, and the app does not say so")
	}
}
