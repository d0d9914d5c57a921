package rights

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"nave.dev/internal/app"
	"nave.dev/internal/object"
)

// TestEntitles asks for the rights of a release's objects where they are missing, and
// where that cannot be told.
func TestEntitles(t *testing.T) {
	status := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if status != 0 {
			w.WriteHeader(status)
			json.NewEncoder(w).Encode(metav1.Status{
				TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure,
				Reason: map[int]metav1.StatusReason{403: metav1.StatusReasonForbidden}[status], Code: int32(status),
			})
			return
		}
		fmt.Fprint(w, `{"status": {"allowed": false}}`)
	}))
	defer server.Close()
	release := app.Desired{Name: "web", Bundle: &app.Bundle{Release: &app.Release{Name: "web", Namespace: "shop"}}}
	objects := []object.ID{{Kind: "ConfigMap", Namespace: "shop", Name: "a"}}
	ask := func() error {
		entitled := New(&rest.Config{Host: server.URL}, time.Now).Entitles(release, func() Kinds { return Kinds{} })
		return entitled(t.Context(), objects, nil)
	}
	var lacking *Lacking
	if err := ask(); !errors.As(err, &lacking) || len(lacking.Missing) != 1 {
		t.Errorf("without rights: %v", err)
	}
	status = http.StatusForbidden
	if err := ask(); err != nil {
		t.Errorf("a cluster that does not let it be asked decides at each request, and not: %v", err)
	}
	status = http.StatusInternalServerError
	if err := ask(); err == nil || errors.As(err, &lacking) {
		t.Errorf("a cluster that cannot tell: %v", err)
	}
	plain := app.Desired{Name: "web", Bundle: &app.Bundle{}}
	if New(&rest.Config{}, time.Now).Entitles(plain, func() Kinds { return Kinds{} }) != nil {
		t.Error("an app that is no release is asked for")
	}
}

// TestFound has what a release was found to need count until there is doubt.
func TestFound(t *testing.T) {
	now := time.Now()
	rule := Rule{Verbs: []string{"get"}, Resource: "configmaps"}
	s := Standing{}
	if lacks, news := s.Found("a", errors.New("another"), now); lacks || news || s.Held() != "" {
		t.Error("any error is about rights")
	}
	err := fmt.Errorf("installing: %w", &Lacking{Missing: []Rule{rule}, asked: []Rule{rule, {Verbs: []string{"list"}, Resource: "pods"}}})
	if lacks, news := s.Found("a", err, now); !lacks || !news || s.Held() == "" || !s.Known("a", now) {
		t.Errorf("it is not held: %q", s.Held())
	}
	if _, news := s.Found("a", err, now); news {
		t.Error("the same is told twice")
	}
	if len(s.Also("a")) != 2 || s.Also("b") != nil {
		t.Errorf("it needs %v, and another one %v", s.Also("a"), s.Also("b"))
	}
	if s.Doubt(); s.Also("a") != nil || s.Held() == "" {
		t.Error("in doubt it is held, and rendered again")
	}
}
