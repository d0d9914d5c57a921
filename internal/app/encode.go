package app

import (
	"encoding/json"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// encoded is a bundle as it is kept: what NewBundle takes, and the name that it
// gives to that.
type encoded struct {
	Digest    string                       `json:"digest"`
	Objects   []*unstructured.Unstructured `json:"objects"`
	Hooks     []*unstructured.Unstructured `json:"hooks,omitempty"`
	Encrypted []EncryptedFile              `json:"encrypted,omitempty"`
	Release   *Release                     `json:"release,omitempty"`
	Chart     *Chart                       `json:"chart,omitempty"` // of Release
}

// Encode returns the bundle as JSON that DecodeBundle reads.
func (b *Bundle) Encode() ([]byte, error) {
	out := encoded{Digest: b.Digest, Objects: b.Objects, Hooks: b.Hooks, Encrypted: b.Encrypted, Release: b.Release}
	if b.Release != nil {
		out.Chart = &b.Release.Chart
	}
	data, err := json.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("encoding the bundle %s: %w", b.Digest, err)
	}
	return data, nil
}

// DecodeBundle reads what Encode wrote. Content that is not what its digest names
// is an error.
func DecodeBundle(data []byte) (*Bundle, error) {
	var in encoded
	if err := json.Unmarshal(data, &in); err != nil {
		return nil, fmt.Errorf("decoding a bundle: %w", err)
	}
	for _, list := range [][]*unstructured.Unstructured{in.Objects, in.Hooks} {
		for _, u := range list {
			if u == nil {
				return nil, fmt.Errorf("decoding the bundle %s: an object in it is null", in.Digest)
			}
		}
	}
	bundle, err := in.bundle()
	if err != nil {
		return nil, fmt.Errorf("decoding the bundle %s: %w", in.Digest, err)
	}
	if bundle.Digest != in.Digest {
		return nil, fmt.Errorf("decoding the bundle %s: its content is that of %s", in.Digest, bundle.Digest)
	}
	return bundle, nil
}

// bundle makes anew what was encoded.
func (in encoded) bundle() (*Bundle, error) {
	if in.Release == nil {
		return NewBundle(in.Objects, in.Hooks, in.Encrypted...)
	}
	if in.Chart == nil || len(in.Objects)+len(in.Hooks)+len(in.Encrypted) > 0 {
		return nil, errors.New("it is a release, which has a chart and nothing else")
	}
	in.Release.Chart = *in.Chart
	return NewReleaseBundle(in.Release)
}
