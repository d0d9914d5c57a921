package cluster

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"nave.dev/internal/object"
)

// tries is how often a request is sent that the server was too busy to answer.
const tries = 6

// ErrTimeout is the cause of a request that took longer than its time.
var ErrTimeout = errors.New("the API server did not answer in time")

// UnreachableError says that no API server answered, so that the next request
// would fare no better.
type UnreachableError struct{ cause error }

// Error says what became of the connection.
func (e *UnreachableError) Error() string { return "reaching the API server: " + e.cause.Error() }

// Unwrap returns what became of the connection.
func (e *UnreachableError) Unwrap() error { return e.cause }

// call runs one request within the limits of the client, again while the server
// says that it is too busy, and once more when a connection broke: each of the
// client's requests has the same effect twice as once.
func (c *Connection) call(ctx context.Context, send func(context.Context) error) error {
	var err error
	broken := false
	for range tries {
		var began time.Time
		if began, err = c.limiter.acquire(ctx); err != nil {
			return err
		}
		limited, cancel := context.WithTimeoutCause(ctx, c.timeout, ErrTimeout)
		err = send(limited)
		timedOut := errors.Is(context.Cause(limited), ErrTimeout)
		cancel()
		busy, wait := pushback(err)
		c.limiter.release(began, busy, wait)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case timedOut:
			return ErrTimeout
		case busy:
			continue
		case answered(err):
			return err
		case broken:
			return &UnreachableError{err}
		}
		broken = true
	}
	return err
}

// pushback reports whether an answer asks for patience, and for how much.
func pushback(err error) (busy bool, wait time.Duration) {
	seconds, suggested := apierrors.SuggestsClientDelay(err)
	if apierrors.IsTooManyRequests(err) {
		return true, time.Duration(max(seconds, 1)) * time.Second
	}
	if apierrors.IsServiceUnavailable(err) && suggested {
		return true, time.Duration(seconds) * time.Second
	}
	return false, 0
}

// answered reports whether an error is an API server's answer.
func answered(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status)
}

// path returns where the API server has an object.
func (r Resource) path(namespace, name string) string {
	path := "/apis/" + r.Group + "/" + r.Version
	if r.Group == "" {
		path = "/api/" + r.Version
	}
	if r.Namespaced {
		path += "/namespaces/" + namespace
	}
	return path + "/" + r.Resource + "/" + name
}

// The forms of an answer. An extension API server that knows no other form gives
// the whole object for its metadata.
const (
	wholeObject   = "application/json"
	metadataAlone = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
)

// Get reads an object.
func (c *Connection) Get(ctx context.Context, r Resource, id object.ID) (*unstructured.Unstructured, error) {
	return c.GetAs(ctx, r, id, "")
}

// GetAs reads an object as a user; empty is the connection's own.
func (c *Connection) GetAs(ctx context.Context, r Resource, id object.ID, user string) (*unstructured.Unstructured, error) {
	var u *unstructured.Unstructured
	err := c.call(ctx, func(ctx context.Context) (err error) {
		request := c.rest.Get().SetHeader("Accept", wholeObject).AbsPath(r.path(id.Namespace, id.Name))
		if user != "" {
			request.SetHeader("Impersonate-User", user)
		}
		u, _, err = decode(ctx, request)
		return err
	})
	return u, Scrub(id, err)
}

// Request changes an object, or would: an apply if it has a Body, a deletion if
// it has a Delete, a patch if it has a Form, and otherwise an update. An apply
// that is encoded already is a patch of that form.
type Request struct {
	Object   object.ID
	Resource Resource
	As       string // the user to impersonate, if any
	Secret   bool   // the object has values of Secrets, whatever its kind
	DryRun   bool

	Body    *unstructured.Unstructured // what to apply
	Manager string                     // the field manager
	Force   bool                       // conflicts of an apply are overridden
	Brief   bool                       // only the metadata is to be returned

	Form    types.PatchType // of a patch
	Content []byte          // of a patch or an update

	Delete *metav1.Preconditions // what must still be there
	// Propagation of a deletion; in the background unless set.
	Propagation metav1.DeletionPropagation
}

// Send sends a request and returns the object as it is afterwards, its metadata
// alone if that is enough, and whether it did not exist before. An error about a
// Secret repeats no value.
func (c *Connection) Send(ctx context.Context, r Request) (u *unstructured.Unstructured, created bool, err error) {
	err = c.call(ctx, func(ctx context.Context) error {
		request, err := r.encode(c.rest)
		if err == nil {
			u, created, err = decode(ctx, request)
		}
		return err
	})
	if err == nil && r.Brief {
		u.SetGroupVersionKind(r.Resource.GroupVersion().WithKind(r.Resource.Kind))
	}
	if r.Secret {
		return u, created, withhold(err)
	}
	return u, created, Scrub(r.Object, err)
}

// encode makes the HTTP request.
func (r Request) encode(client *rest.RESTClient) (*rest.Request, error) {
	var request *rest.Request
	switch {
	case r.Delete != nil:
		// In the background unless asked otherwise, so that the object itself is gone
		// at once. In the foreground it would stay, marked as being deleted, for as
		// long as any dependant has a finalizer, and could not be made anew meanwhile.
		policy := cmp.Or(r.Propagation, metav1.DeletePropagationBackground)
		options := metav1.DeleteOptions{Preconditions: r.Delete, PropagationPolicy: &policy}
		options.APIVersion, options.Kind = "v1", "DeleteOptions"
		data, err := json.Marshal(options)
		if err != nil {
			return nil, fmt.Errorf("encoding the deletion of %s: %w", r.Object, err)
		}
		request = client.Delete().SetHeader("Content-Type", "application/json").Body(data)
	case r.Body != nil:
		data, err := object.Canonical(r.Body)
		if err != nil {
			return nil, err
		}
		request = client.Patch(types.ApplyPatchType).Body(data).Param("fieldManager", r.Manager)
		if r.Force {
			request.Param("force", "true")
		}
	case r.Form != "":
		request = client.Patch(r.Form).Body(r.Content).Param("fieldManager", r.Manager)
	default:
		request = client.Put().SetHeader("Content-Type", "application/json").Body(r.Content).Param("fieldManager", r.Manager)
	}
	request.AbsPath(r.Resource.path(r.Object.Namespace, r.Object.Name))
	if r.DryRun {
		request.Param("dryRun", "All")
	}
	if r.As != "" {
		request.SetHeader("Impersonate-User", r.As)
	}
	if request.SetHeader("Accept", wholeObject); r.Brief {
		request.SetHeader("Accept", metadataAlone)
	}
	return request, nil
}

// decode sends a request and reads the object that it is answered with.
func decode(ctx context.Context, request *rest.Request) (u *unstructured.Unstructured, created bool, err error) {
	code := 0
	result := request.MaxRetries(0).Do(ctx).StatusCode(&code)
	if err := result.Error(); err != nil {
		return nil, false, err
	}
	data, err := result.Raw()
	if err != nil {
		return nil, false, err
	}
	u = &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(data); err != nil {
		return nil, false, fmt.Errorf("reading the API server's answer: %w", err)
	}
	return u, code == http.StatusCreated, nil
}
