package object

import (
	"encoding/base64"
	"testing"
)

func TestEncrypted(t *testing.T) {
	file := "a: ENC[AES256_GCM,data:x,iv:x,tag:x,type:str]\nsops:\n    mac: ENC[AES256_GCM,data:x]\n"
	encoded := base64.StdEncoding.EncodeToString([]byte(file))
	tests := []struct {
		reason, object string
		want           bool
	}{
		{"metadata of SOPS", "{apiVersion: v1, kind: Secret, sops: {mac: x}}", true},
		{"metadata of SOPS in another kind", "{apiVersion: v1, kind: ConfigMap, sops: {mac: x}}", true},
		{"one that is to stay as it is", "{apiVersion: v1, kind: Secret, metadata: {annotations: {kustomize.toolkit.fluxcd.io/decrypt: Disabled}}, data: {a: " + encoded + "}}", false},
		{"another value of the annotation", "{apiVersion: v1, kind: Secret, metadata: {annotations: {kustomize.toolkit.fluxcd.io/decrypt: enabled}}, data: {a: " + encoded + "}}", true},
		{"a field of the name without a MAC", "{apiVersion: v1, kind: Secret, sops: {age: []}}", false},
		{"a field of the name that is text", "{apiVersion: v1, kind: Secret, sops: x}", false},
		{"a plain Secret", "{apiVersion: v1, kind: Secret, data: {a: aHVudGVyMg==}, stringData: {b: hunter2}}", false},
		{"an encrypted file in data", "{apiVersion: v1, kind: Secret, data: {a: " + encoded + "}}", true},
		{"an encrypted file in stringData", "{apiVersion: v1, kind: Secret, stringData: {a: \"a=ENC[AES256_GCM,data:x]\\nsops_mac=x\"}}", true},
		{"another group's kind of the name", "{apiVersion: example.com/v1, kind: Secret, data: {a: " + encoded + "}}", false},
		{"a text about SOPS", "{apiVersion: v1, kind: Secret, stringData: {a: 'write ENC[AES256_GCM,data: and so on'}}", false},
	}
	for _, test := range tests {
		if have := Encrypted(parse(t, test.object)); have != test.want {
			t.Errorf("%s: %t, want %t", test.reason, have, test.want)
		}
	}
}
