package secret

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"filippo.io/age"
	"filippo.io/age/armor"
)

// metadata is what SOPS says of a file in the file.
type metadata struct {
	mac, modified    string
	macOnlyEncrypted bool
	rules            rules
	age              []ageKey
	others           []string // who else could open it, in words
	groups           int      // of keys, of which each holds a part
}

// ageKey is a file's data key, encrypted for one recipient.
type ageKey struct{ recipient, encrypted string }

// services are the lists of recipients other than age, and the field of an entry
// by which people know it.
var services = []struct{ list, name, field string }{
	{"pgp", "pgp", "fp"},
	{"kms", "AWS KMS", "arn"},
	{"gcp_kms", "GCP KMS", "resource_id"},
	{"azure_kv", "Azure Key Vault", "vault_url"},
	{"hc_vault", "Vault", "vault_address"},
	{"hckms", "Huawei KMS", "key_id"},
}

// readMetadata reads the mapping at the key sops.
func readMetadata(m mapping) (metadata, error) {
	meta := metadata{mac: text(m.get("mac")), modified: text(m.get("lastmodified"))}
	if meta.mac == "" {
		return meta, errors.New("it has no sops.mac")
	}
	switch only := m.get("mac_only_encrypted").(type) {
	case bool:
		meta.macOnlyEncrypted = only
	case string:
		meta.macOnlyEncrypted = only == "true"
	}
	if err := meta.readRules(m); err != nil {
		return meta, err
	}
	meta.readKeys(m)
	groups, _ := m.get("key_groups").([]any)
	for _, group := range groups {
		if keys, ok := group.(mapping); ok {
			meta.groups++
			meta.readKeys(keys)
		}
	}
	return meta, nil
}

// text returns a value of the metadata as it is written.
func text(value any) string {
	switch value := value.(type) {
	case string:
		return value
	case time.Time:
		return value.Format(time.RFC3339)
	}
	return ""
}

// readRules reads which values are encrypted: all but those with a suffix, unless
// one rule says otherwise.
func (meta *metadata) readRules(m mapping) error {
	set := 0
	for _, suffix := range []struct {
		name string
		into *string
	}{{"unencrypted_suffix", &meta.rules.unencryptedSuffix}, {"encrypted_suffix", &meta.rules.encryptedSuffix}} {
		if *suffix.into = text(m.get(suffix.name)); *suffix.into != "" {
			set++
		}
	}
	for _, pattern := range []struct {
		name string
		into **regexp.Regexp
	}{
		{"unencrypted_regex", &meta.rules.unencryptedRegex}, {"encrypted_regex", &meta.rules.encryptedRegex},
		{"unencrypted_comment_regex", &meta.rules.unencryptedComment}, {"encrypted_comment_regex", &meta.rules.encryptedComment},
	} {
		expression := text(m.get(pattern.name))
		if expression == "" {
			continue
		}
		set++
		var err error
		if *pattern.into, err = regexp.Compile(expression); err != nil {
			return fmt.Errorf("its sops.%s is no regular expression: %w", pattern.name, err)
		}
	}
	switch set {
	case 0:
		meta.rules.unencryptedSuffix = "_unencrypted"
	case 1:
	default:
		return errors.New("more than one rule of sops says what in it is encrypted")
	}
	return nil
}

func (meta *metadata) readKeys(m mapping) {
	entries := func(list string, read func(mapping)) {
		items, _ := m.get(list).([]any)
		for _, item := range items {
			if fields, ok := item.(mapping); ok {
				read(fields)
			}
		}
	}
	entries("age", func(key mapping) {
		meta.age = append(meta.age, ageKey{text(key.get("recipient")), text(key.get("enc"))})
	})
	for _, service := range services {
		entries(service.list, func(key mapping) {
			meta.others = append(meta.others, strings.TrimSpace(service.name+" "+text(key.get(service.field))))
		})
	}
}

// recipients names all who could open the file.
func (meta metadata) recipients() string {
	var names []string
	for _, key := range meta.age {
		names = append(names, short(key.recipient))
	}
	if names = append(names, meta.others...); len(names) == 0 {
		return "nobody"
	}
	return strings.Join(names, ", ")
}

// short bounds the name of a recipient; those of post-quantum keys have two
// thousand characters.
func short(recipient string) string {
	const most = 80
	if len(recipient) > most {
		return strings.ToValidUTF8(recipient[:24], "") + "…"
	}
	return recipient
}

// maxDataKey bounds the size of a decrypted data key, which is 32 bytes.
const maxDataKey = 64

// dataKey returns the key of a file's values.
func (k *Keys) dataKey(meta metadata) ([]byte, error) {
	if meta.groups > 1 {
		return nil, fmt.Errorf("its key is divided among %d groups of recipients, which is not supported; encrypt it for one group", meta.groups)
	}
	if k == nil {
		return nil, fmt.Errorf("it is encrypted for %s, and there is no age key; start the hub with --age-key-file", meta.recipients())
	}
	identities, err := k.identities()
	if err != nil {
		return nil, errors.New(strings.ReplaceAll(err.Error(), "\nhint: ", "; ")) // in a table it is one line
	}
	for _, key := range meta.age {
		r, err := age.Decrypt(armor.NewReader(strings.NewReader(key.encrypted)), identities...)
		if err != nil {
			continue // it is another one's, or damaged
		}
		var data bytes.Buffer
		if _, err := io.Copy(&data, io.LimitReader(r, maxDataKey)); err == nil && data.Len() == 32 {
			return data.Bytes(), nil
		}
	}
	return nil, fmt.Errorf("it is encrypted for %s, and none of them is an age key of the hub, which has %s; add the key, or encrypt the file for it with sops updatekeys",
		meta.recipients(), strings.Join(k.Recipients(), ", "))
}
