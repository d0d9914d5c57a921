package render

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"nave.dev/internal/app"
)

const sealedSecret = `# %COMMENT%
apiVersion: v1
kind: Secret
metadata: {name: sealed, namespace: shop}
stringData: {token: "ENC[AES256_GCM,data:x,iv:x,tag:x,type:str]"}
sops:
    mac: ENC[AES256_GCM,data:mac,iv:x,tag:x,type:str]
`

func TestEncryptedFilesOutliveTheProcess(t *testing.T) {
	text := func(comment string) []byte { return []byte(strings.Replace(sealedSecret, "%COMMENT%", comment, 1)) }
	repository := fstest.MapFS{"app/sealed.yaml": {Data: text("one")}}
	options := Options{CacheDir: t.TempDir()}
	render := func() *Result {
		r := New(options)
		defer r.Close()
		result, err := r.Render(t.Context(), Request{Files: repository, Path: "app"})
		if err != nil {
			t.Fatal(err)
		}
		return result
	}
	want := []app.EncryptedFile{{Path: "app/sealed.yaml", Data: text("one")}}
	first, again := render(), render()
	if !again.FromCache {
		t.Error("the second process rendered again")
	}
	for _, result := range []*Result{first, again} {
		if diff := cmp.Diff(want, result.Bundle.Encrypted); diff != "" {
			t.Errorf("encrypted files (-want +have):\n%s", diff)
		}
	}
	if first.Bundle.Digest != again.Bundle.Digest {
		t.Errorf("digests %s and %s of one render", first.Bundle.Digest, again.Bundle.Digest)
	}
	repository["app/sealed.yaml"] = &fstest.MapFile{Data: text("two")}
	if changed := render(); changed.Bundle.Digest == first.Bundle.Digest {
		t.Error("the file that an object came from was changed, and the digest was not")
	}
}
