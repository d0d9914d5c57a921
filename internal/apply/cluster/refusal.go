package cluster

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"nave.dev/internal/object"
)

// secretError is an API server's answer about a Secret, without its words.
type secretError struct {
	text   string
	status apierrors.APIStatus
}

// Error says the kind of answer, and about which fields.
func (e *secretError) Error() string { return e.text }

// Status is the answer, without its words.
func (e *secretError) Status() metav1.Status { return e.status.Status() }

// harmless are the answers that name a Secret and a user and repeat no value.
var harmless = regexp.MustCompile(`^[a-z.-]+ "[^"]*" (is forbidden: User "|not found$)|^namespaces "[^"]*" not found$|because it is being terminated$`)

// Scrub takes what may repeat a value out of an error about a Secret: API
// servers and admission webhooks quote what they refuse.
func Scrub(id object.ID, err error) error {
	if id.Group != "" || id.Kind != "Secret" {
		return err
	}
	return withhold(err)
}

// withhold takes an API server's words out of an error.
func withhold(err error) error {
	var answer apierrors.APIStatus
	if !errors.As(err, &answer) {
		return err
	}
	status := answer.Status()
	if harmless.MatchString(status.Message) {
		return err
	}
	text := fmt.Sprintf("the API server answered %d %s", status.Code, status.Reason)
	if status.Details != nil {
		var fields []string
		for _, cause := range status.Details.Causes {
			if cause.Field != "" {
				fields = append(fields, fmt.Sprintf("%s: %s", cause.Field, cause.Type))
			}
		}
		if len(fields) > 0 {
			text += " (" + strings.Join(fields, ", ") + ")"
		}
	}
	bare := status.DeepCopy()
	bare.Message = text
	if bare.Details != nil {
		for i := range bare.Details.Causes {
			if !immutable.MatchString(bare.Details.Causes[i].Message) {
				bare.Details.Causes[i].Message = ""
			} else {
				bare.Details.Causes[i].Message = "field is immutable"
			}
		}
	}
	return &secretError{
		text:   text + "; its words are withheld, since they may repeat a secret value",
		status: &apierrors.StatusError{ErrStatus: *bare},
	}
}

// immutable is how API servers and definitions say that a field cannot change.
var immutable = regexp.MustCompile(`(?i)immutable|may not (be )?change|cannot (be )?change|can not (be )?change|updates to .* (are|is) forbidden|updates to \S+ spec for fields other than`)

// ImmutableFields returns the fields that an API server refuses to change, if
// that is why it refused.
func ImmutableFields(err error) []string {
	var answer apierrors.APIStatus
	if UIDMismatch(err) || !errors.As(err, &answer) || !apierrors.IsInvalid(err) && !apierrors.IsForbidden(err) || answer.Status().Details == nil {
		return nil
	}
	var fields []string
	for _, cause := range answer.Status().Details.Causes {
		if immutable.MatchString(cause.Message) {
			fields = append(fields, cause.Field)
		}
	}
	return fields
}

// Explain returns an error about one object in words for a person.
func Explain(err error) string {
	var answer apierrors.APIStatus
	if fields := ImmutableFields(err); len(fields) > 0 {
		return fmt.Sprintf("%s cannot be changed in place: %s; to delete and create the object, set replace",
			strings.Join(fields, ", "), short(err.Error()))
	}
	if errors.As(err, &answer) && apierrors.HasStatusCause(err, "NamespaceTerminating") {
		return "its namespace is being deleted"
	}
	if tooLarge.MatchString(err.Error()) {
		return "it is larger than the cluster's database takes, which is 1.5 MiB unless set otherwise: " + short(err.Error())
	}
	return short(err.Error())
}

// tooLarge is what API servers pass on when etcd, or their client of it, refuses
// an object for its size.
var tooLarge = regexp.MustCompile(`etcdserver: request is too large|trying to send message larger than max`)

// short bounds the length of what a server says.
func short(text string) string {
	const most = 1024
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}

// UIDMismatch reports whether an apply was refused because the object that it
// was for is gone, or is another one now.
func UIDMismatch(err error) bool {
	var answer apierrors.APIStatus
	if !errors.As(err, &answer) {
		return false
	}
	status := answer.Status()
	if apierrors.IsConflict(err) { // gone
		return strings.Contains(strings.ToLower(status.Message), "uid")
	}
	return status.Details != nil && slices.ContainsFunc(status.Details.Causes, func(cause metav1.StatusCause) bool {
		return cause.Field == "metadata.uid"
	})
}

// Missing reports whether an answer says that the object is not there, as
// opposed to its kind or its namespace.
func Missing(err error, id object.ID) bool {
	var answer apierrors.APIStatus
	if !apierrors.IsNotFound(err) || !errors.As(err, &answer) {
		return false
	}
	details := answer.Status().Details
	return details != nil && details.Name == id.Name && (details.Kind != "namespaces" || id.GroupKind() == (schema.GroupKind{Kind: "Namespace"}))
}
