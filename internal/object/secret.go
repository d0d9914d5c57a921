package object

import (
	"encoding/base64"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// PlainData turns a Secret's stringData, which only the server's input knows,
// into data, so that what is applied is what is owned.
func PlainData(u *unstructured.Unstructured) error {
	if u.GroupVersionKind().Group != "" || u.GetKind() != "Secret" || u.Object["stringData"] == nil {
		return nil
	}
	texts, ok := u.Object["stringData"].(map[string]any)
	data, isMap := u.Object["data"].(map[string]any)
	if !ok || u.Object["data"] != nil && !isMap {
		return errors.New("its data or stringData is no map")
	}
	if data == nil {
		data = map[string]any{}
	}
	for key, v := range texts {
		text, ok := v.(string)
		if !ok {
			return fmt.Errorf("its stringData[%q] is no string", key)
		}
		data[key] = base64.StdEncoding.EncodeToString([]byte(text))
	}
	u.Object["data"] = data
	delete(u.Object, "stringData")
	return nil
}
