package secret

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nave.dev/internal/app"
)

func TestParseKeys(t *testing.T) {
	one, two, pq := testdata(t, "one.key"), testdata(t, "two.key"), testdata(t, "pq.key")
	valid := one + "\n\n# another\r\n" + strings.ReplaceAll(two, "\n", "\r\n") + pq
	identities, recipients, err := parseKeys([]byte(valid))
	if err != nil || len(identities) != 3 || len(recipients) != 3 || !strings.HasPrefix(recipients[2], "age1pq1") || len(recipients[2]) > 80 {
		t.Errorf("%d identities with recipients %q, %v; want three", len(identities), recipients, err)
	}
	secret := "AGE-SECRET-KEY-1" + strings.Repeat("Q", 58)
	tests := []struct{ reason, text, want string }{
		{"empty", "", "there is no key"},
		{"only comments", "# public key: age1\n\n", "there is no key"},
		{"a damaged key", "# x\n" + secret, "line 2 is no age key, though"},
		{"a damaged post-quantum key", "AGE-SECRET-KEY-PQ-1" + secret, "line 1 is no age key, though"},
		{"a recipient", "age1cwhndhxmwk4ylhx5l8r8s9tvd2luqlhyn8a2uytayufxva7ymy2q9xvzkp", "line 1 is no age key"},
		{"a plug-in", "AGE-PLUGIN-YUBIKEY-1" + secret, "age plug-in"},
		{"an SSH key", "-----BEGIN OPENSSH PRIVATE KEY-----\n" + secret, "an SSH key"},
		{"a passphrase", "age-encryption.org/v1\n-> scrypt " + secret, "a passphrase"},
		{"too large", strings.Repeat("#", maxKeyFile+1), "larger than"},
	}
	for _, test := range tests {
		_, _, err := parseKeys([]byte(test.text))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want %q", test.reason, err, test.want)
		}
		if err != nil && strings.Contains(err.Error(), strings.Repeat("Q", 8)) {
			t.Errorf("%s: the error repeats the key: %v", test.reason, err)
		}
	}
}

func TestKeyFileMode(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(file, []byte(testdata(t, "one.key")), 0o600); err != nil {
		t.Fatal(err)
	}
	for mode, refused := range map[os.FileMode]bool{0o600: false, 0o400: false, 0o640: true, 0o604: true, 0o620: true} {
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(file); (err != nil) != refused || refused && !strings.Contains(err.Error(), "hint: chmod 600") {
			t.Errorf("mode %04o: error %v, want one: %t", mode, err, refused)
		}
	}
	if _, err := Open(t.TempDir()); err == nil {
		t.Error("a directory was read as a key file")
	}
}

func TestKeysRotate(t *testing.T) {
	text := testdata(t, "multi.yaml")
	decrypt := func(k *Keys) error {
		_, err := k.Decrypt(objects(t, text)[0], []app.EncryptedFile{{Path: "multi.yaml", Data: []byte(text)}})
		return err
	}
	k := keys(t, "two")
	if err := decrypt(k); err == nil {
		t.Fatal("a key that is none of the recipients decrypts")
	}
	replace := func(content string, ago time.Duration) {
		file := k.file + ".new"
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, time.Time{}, time.Now().Add(-ago)); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file, k.file); err != nil {
			t.Fatal(err)
		}
	}
	replace(testdata(t, "two.key")+testdata(t, "one.key"), time.Hour)
	if err := decrypt(k); err != nil {
		t.Errorf("a key that was added is not used: %v", err)
	}
	replace(testdata(t, "two.key"), 2*time.Hour)
	if err := decrypt(k); err == nil {
		t.Error("a key that was withdrawn is used on")
	}
	replace("no key\n", 3*time.Hour)
	if err := decrypt(k); err == nil || !strings.Contains(err.Error(), "reading age keys of") || strings.Contains(err.Error(), "\n") {
		t.Errorf("error %v, want one of the key file, on a line", err)
	}
	if err := os.Remove(k.file); err != nil {
		t.Fatal(err)
	}
	if err := decrypt(k); err == nil || !strings.Contains(err.Error(), "reading age keys") {
		t.Errorf("error %v, want one of the missing key file", err)
	}
}
