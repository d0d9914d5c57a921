package chartserver

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"time"

	"go.yaml.in/yaml/v3"
)

// packed is a chart as an archive.
type packed struct {
	APIVersion string `yaml:"apiVersion"`
	Name       string `yaml:"name"`
	Version    string `yaml:"version"`

	data   []byte
	digest string // hexadecimal digits of SHA-256
}

var (
	chartName    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)
	chartVersion = regexp.MustCompile(`^v?[0-9]+(\.[0-9]+)*([-+][0-9A-Za-z.+-]*)?$`)
)

// pack makes an archive of a chart's directory: every file of it, whatever .helmignore says. The same files make the
// same archive.
func pack(files fs.FS) (*packed, error) {
	metadata, err := fs.ReadFile(files, "Chart.yaml")
	if err != nil {
		return nil, err
	}
	p := &packed{}
	if err := yaml.Unmarshal(metadata, p); err != nil {
		return nil, fmt.Errorf("reading Chart.yaml: %w", err)
	}
	if !chartName.MatchString(p.Name) || !chartVersion.MatchString(p.Version) {
		return nil, fmt.Errorf("its Chart.yaml has the name %q and the version %q\nhint: write a name such as web and a version such as 1.0.0", p.Name, p.Version)
	}
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	archive := tar.NewWriter(zip)
	err = fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if !entry.Type().IsRegular() {
			return fmt.Errorf("%q is neither a file nor a directory", name)
		}
		data, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		header := &tar.Header{Typeflag: tar.TypeReg, Name: path.Join(p.Name, name), Size: int64(len(data)), Mode: 0o644, ModTime: time.Unix(0, 0)}
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		_, err = archive.Write(data)
		return err
	})
	if err = errors.Join(err, archive.Close(), zip.Close()); err != nil {
		return nil, err
	}
	p.data = out.Bytes()
	sum := sha256.Sum256(p.data)
	p.digest = hex.EncodeToString(sum[:])
	return p, nil
}
