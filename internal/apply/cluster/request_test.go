package cluster

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"nave.dev/internal/object"
)

// recording keeps the last request instead of sending it.
type recording struct {
	request *http.Request
	body    string
}

func (r *recording) RoundTrip(request *http.Request) (*http.Response, error) {
	data, err := io.ReadAll(request.Body)
	r.request, r.body = request, string(data)
	return nil, errors.Join(errors.New("not sent"), err)
}

func TestDeletionCarriesPreconditionsAndAPolicy(t *testing.T) {
	sent := &recording{}
	c, err := New(&rest.Config{Host: "http://127.0.0.1", Transport: sent}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	uid, version := types.UID("u"), "7"
	resource := Resource{schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}, "Deployment", true}
	_, _, err = c.Send(t.Context(), Request{
		Object: object.ID{Group: "apps", Kind: "Deployment", Namespace: "shop", Name: "web"}, Resource: resource,
		As: "system:serviceaccount:shop:deployer", Delete: &metav1.Preconditions{UID: &uid, ResourceVersion: &version},
	})
	var unreachable *UnreachableError
	if !errors.As(err, &unreachable) {
		t.Errorf("error %v", err)
	}
	if got := sent.request.Method + " " + sent.request.URL.Path; got != "DELETE /apis/apps/v1/namespaces/shop/deployments/web" {
		t.Errorf("sent %s", got)
	}
	for _, want := range []string{`"uid":"u"`, `"resourceVersion":"7"`, `"propagationPolicy":"Background"`} {
		if !strings.Contains(sent.body, want) {
			t.Errorf("the body %s has no %s", sent.body, want)
		}
	}
	if got := sent.request.Header.Get("Impersonate-User"); got != "system:serviceaccount:shop:deployer" {
		t.Errorf("impersonates %q", got)
	}
}

func answer(code int32, reason metav1.StatusReason, message string, details *metav1.StatusDetails) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{Status: "Failure", Code: code, Reason: reason, Message: message, Details: details}}
}

func TestErrorsAboutSecretsRepeatNothing(t *testing.T) {
	secret, other := object.ID{Kind: "Secret", Namespace: "shop", Name: "key"}, object.ID{Kind: "ConfigMap", Namespace: "shop", Name: "key"}
	for _, test := range []struct {
		name  string
		id    object.ID
		err   error
		shown string
		kept  bool
	}{
		{"value", secret, answer(422, "Invalid", `Secret "key" is invalid: data[a]: Invalid value: "hunter2"`, &metav1.StatusDetails{
			Causes: []metav1.StatusCause{{Type: "FieldValueInvalid", Field: "data[a]", Message: `Invalid value: "hunter2"`}}}), "data[a]", false},
		{"webhook", secret, answer(403, "Forbidden", `admission webhook "w" denied the request: weak password hunter2`, nil), "403 Forbidden", false},
		{"forged", secret, answer(403, "Forbidden", `secrets "key" are weak: hunter2`, nil), "403 Forbidden", false},
		{"rights", secret, answer(403, "Forbidden", `secrets "key" is forbidden: User "u" cannot patch resource "secrets"`, nil), `User "u" cannot patch`, true},
		{"other kind", other, answer(422, "Invalid", `data[a]: Invalid value: "x"`, nil), `Invalid value: "x"`, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := Scrub(test.id, test.err)
			if !strings.Contains(err.Error(), test.shown) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%v, want %q and no value", err, test.shown)
			}
			if (err.Error() == test.err.Error()) != test.kept {
				t.Errorf("%v: kept as it is %v, want %v", err, !test.kept, test.kept)
			}
			if apierrors.ReasonForError(err) != apierrors.ReasonForError(test.err) {
				t.Errorf("reason %s", apierrors.ReasonForError(err))
			}
			var status apierrors.APIStatus
			if errors.As(err, &status) && strings.Contains(fmt.Sprint(status.Status()), "hunter2") {
				t.Errorf("the status repeats the value: %v", status.Status())
			}
		})
	}
}

func TestImmutableFields(t *testing.T) {
	cause := func(field, message string) error {
		return answer(422, "Invalid", message, &metav1.StatusDetails{Causes: []metav1.StatusCause{{Field: field, Message: message}}})
	}
	for message, want := range map[string]bool{
		"Invalid value: {}: field is immutable":                                                  true, // Deployment
		"Forbidden: updates to statefulset spec for fields other than 'replicas' are forbidden":  true,
		"Forbidden: spec is immutable after creation except resources.requests":                  true, // PersistentVolumeClaim
		"Invalid value: []: may not change once set":                                             true, // Service
		"Invalid value: {}: cannot change roleRef":                                               true, // RoleBinding
		"Forbidden: updates to parameters are forbidden.":                                        true, // StorageClass
		"Invalid value: \"x\": a lowercase RFC 1123 label must consist of lower case characters": false,
		"Required value": false,
	} {
		if got := len(ImmutableFields(cause("spec.x", message))) == 1; got != want {
			t.Errorf("%q: %v, want %v", message, got, want)
		}
	}
}

func TestMissingTellsTheObjectFromItsKindAndNamespace(t *testing.T) {
	id := object.ID{Kind: "ConfigMap", Namespace: "shop", Name: "key"}
	for _, test := range []struct {
		details *metav1.StatusDetails
		want    bool
		reason  string
	}{
		{&metav1.StatusDetails{Name: "key", Kind: "configmaps"}, true, "the object"},
		{&metav1.StatusDetails{Name: "shop", Kind: "namespaces"}, false, "its namespace"},
		{&metav1.StatusDetails{}, false, "its kind"},
		{nil, false, "its kind"},
	} {
		if got := Missing(answer(404, "NotFound", "not found", test.details), id); got != test.want {
			t.Errorf("%s: %v", test.reason, got)
		}
	}
}
