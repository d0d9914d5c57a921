package secret

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// comment is a comment of a file, without its "#". One behind a value is inline.
type comment struct {
	text   string
	inline bool
}

// ciphertext is the form of an encrypted value.
var ciphertext = regexp.MustCompile(`^ENC\[AES256_GCM,data:([^,\]]+),iv:([^,\]]+),tag:([^,\]]+),type:([a-z]+)\]$`)

// tagSize is the size of a value's authentication tag, in bytes.
const tagSize = 16

var (
	errForm = errors.New("it is no value that sops encrypted")
	errOpen = errors.New("it does not open with the file's key")
)

// decryptValue opens a value that stands at a path, which is part of what is
// authenticated. Nothing of the value is in an error.
func decryptValue(text string, key []byte, path []string) (any, error) {
	return open(text, key, strings.Join(path, ":")+":")
}

// open opens a value with its additional data.
func open(text string, key []byte, additional string) (any, error) {
	if text == "" {
		return "", nil // which sops leaves as it is
	}
	parts := ciphertext.FindStringSubmatch(text)
	if parts == nil {
		return nil, errForm
	}
	var data, iv, tag []byte
	for i, into := range []*[]byte{&data, &iv, &tag} {
		var err error
		if *into, err = base64.StdEncoding.DecodeString(parts[i+1]); err != nil || len(*into) == 0 {
			return nil, errForm
		}
	}
	if len(tag) != tagSize {
		return nil, errForm
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("using the file's key: %w", err)
	}
	gcm, err := cipher.NewGCMWithNonceSize(block, len(iv))
	if err != nil {
		return nil, errForm
	}
	plain, err := gcm.Open(nil, iv, append(data, tag...), []byte(additional))
	if err != nil {
		return nil, errOpen
	}
	value, err := typed(string(plain), parts[4])
	if err != nil {
		return nil, fmt.Errorf("it is not of its type %s", parts[4]) // err has the value
	}
	return value, nil
}

// typed gives a value the type that it had.
func typed(text, name string) (any, error) {
	switch name {
	case "str", "bytes":
		return text, nil
	case "int":
		return strconv.ParseInt(text, 10, 64)
	case "float":
		return strconv.ParseFloat(text, 64)
	case "bool":
		return strconv.ParseBool(text)
	case "time":
		return time.Parse(time.RFC3339Nano, text)
	case "comment":
		return comment{text: text}, nil
	}
	return nil, errForm
}

// hashed returns a value as it counts for the MAC.
func hashed(value any) ([]byte, error) {
	switch value := value.(type) {
	case string:
		return []byte(value), nil
	case int64:
		return strconv.AppendInt(nil, value, 10), nil
	case float64:
		return strconv.AppendFloat(nil, value, 'f', -1, 64), nil
	case bool:
		if value {
			return []byte("True"), nil
		}
		return []byte("False"), nil
	case time.Time:
		return value.MarshalText()
	}
	return nil, fmt.Errorf("it holds a value of a type that sops does not know, %T", value)
}
