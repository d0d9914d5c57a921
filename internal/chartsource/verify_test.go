package chartsource

import (
	"bytes"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
)

// TestVerify signs a chart in a repository, and one in a registry.
func TestVerify(t *testing.T) {
	key, err := openpgp.NewEntity("Tess", "", "tess@example.com", nil)
	if err != nil {
		t.Fatal(err)
	}
	var ring bytes.Buffer
	if err := key.Serialize(&ring); err != nil {
		t.Fatal(err)
	}
	sign := func(file, hex string) []byte {
		t.Helper()
		var out bytes.Buffer
		w, err := clearsign.Encode(&out, key.PrivateKey, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte("name: web\n\n...\nfiles:\n  " + file + ": sha256:" + hex + "\n")); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	web, oci := newWebServer(t), newRegistryServer(t)
	signed := web.add(t, "1.0.0", "one")
	web.add(t, "2.0.0", "unsigned")
	web.set(func() { web.files["/charts/web-1.0.0.tgz.prov"] = sign("web-1.0.0.tgz", signed) })
	data := packed(t, "web", "1.0.0", "one")
	oci.push(t, "charts/web", "1.0.0", layer{chartLayer, data}, layer{provenanceLayer, sign("web-1.0.0.tgz", digest(data))})
	oci.pushChart(t, "2.0.0", "unsigned")
	for name, remote := range map[string]Remote{"repository": {URL: web.URL + "/charts"}, "registry": oci.remote()} {
		t.Run(name, func(t *testing.T) {
			remote.Provenance = true
			r := follow(t, t.TempDir(), remote)
			if err := r.Verify(Request{Chart: "web"}, resolve(t, r, "1.0.0"), ring.Bytes()); err != nil {
				t.Error(err)
			}
			err := r.Verify(Request{Chart: "web"}, resolve(t, r, "2.0.0"), ring.Bytes())
			wantError(t, err, `version 2.0.0 of chart "web" of source "base" is refused: it comes without a provenance file`)
		})
	}
}
