package bench

import (
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestOver(t *testing.T) {
	for reason, c := range map[string]struct {
		figure Figure
		want   bool
	}{
		"without a bar nothing is over it":         {Figure{Value: 1e9}, false},
		"a value is held against its bar":          {Figure{Value: 3}.within(2), true},
		"a value may be at its bar":                {Figure{Value: 0}.within(0), false},
		"with a floor the ratio counts":            {Figure{Value: 3}.against(2).within(2), false},
		"and not the value":                        {Figure{Value: 0.3}.against(0.1).within(2), true},
		"a floor of nothing makes the value count": {Figure{Value: 1}.against(0).within(0), true},
	} {
		if got := c.figure.Over(); got != c.want {
			t.Errorf("%s: Over() = %t", reason, got)
		}
	}
}

func TestQuantile(t *testing.T) {
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(100-i))
	}
	for part, want := range map[float64]time.Duration{0.5: 50, 0.99: 99, 1: 100, 0: 1} {
		if got := quantile(hundred, part); got != want {
			t.Errorf("quantile(%g) = %d, want %d", part, got, want)
		}
	}
	if got := quantile(nil, 0.5); got != 0 {
		t.Errorf("quantile of nothing = %d", got)
	}
}

func TestExponent(t *testing.T) {
	sizes := []float64{10, 100, 500, 2000}
	for _, want := range []float64{0.5, 1, 2} {
		var costs []float64
		for _, size := range sizes {
			costs = append(costs, 3*math.Pow(size, want))
		}
		if got := exponent(sizes, costs); math.Abs(got-want) > 1e-9 {
			t.Errorf("exponent = %g, want %g", got, want)
		}
	}
	if got := exponent([]float64{1, 2}, []float64{0, 5}); got != 0 {
		t.Errorf("exponent of one point = %g", got)
	}
}

func TestDescribe(t *testing.T) {
	for target, want := range map[string]request{
		"GET /version":                                                         {"nave", "get", "", ""},
		"GET /apis":                                                            {"nave", "get", "", ""},
		"GET /api/v1/services":                                                 {"nave", "list", "services", ""},
		"GET /api/v1/services?watch=true":                                      {"nave", "watch", "services", ""},
		"GET /api/v1/namespaces":                                               {"nave", "list", "namespaces", ""},
		"GET /api/v1/namespaces/a":                                             {"nave", "get", "namespaces", ""},
		"GET /api/v1/namespaces/a/services":                                    {"nave", "list", "services", ""},
		"GET /api/v1/namespaces/a/services/b":                                  {"nave", "get", "services", ""},
		"PATCH /apis/apps/v1/namespaces/a/deployments/b":                       {"nave", "apply", "deployments", ""},
		"PUT /apis/apps/v1/namespaces/a/deployments/b/status":                  {"nave", "update", "deployments/status", ""},
		"PUT /apis/coordination.k8s.io/v1/namespaces/nave-system/leases/b":     {"nave", "update", "leases", "b"},
		"GET /api/v1/namespaces/nave-system/secrets/nave-record":               {"nave", "get", "secrets", "nave-record"},
		"DELETE /apis/networking.k8s.io/v1/namespaces/a/ingresses":             {"nave", "deletecollection", "ingresses", ""},
		"POST /apis/rbac.authorization.k8s.io/v1/clusterroles":                 {"nave", "create", "clusterroles", ""},
		"DELETE /apis/rbac.authorization.k8s.io/v1/clusterroles/administrator": {"nave", "delete", "clusterroles", ""},
	} {
		method, path, _ := strings.Cut(target, " ")
		r := httptest.NewRequest(method, path, nil)
		r.Header.Set("User-Agent", "nave/v1 (linux)")
		if method == http.MethodPatch {
			r.Header.Set("Content-Type", "application/apply-patch+yaml")
		}
		if diff := cmp.Diff(want, describe(r), cmp.AllowUnexported(request{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", target, diff)
		}
	}
}

// TestMeterRefuses asks the meter without its token: it leads to a cluster's
// administrator.
func TestMeterRefuses(t *testing.T) {
	m := &meter{token: "right", counts: counts{}}
	passed := 0
	handler := m.count(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { passed++ }))
	for _, header := range []string{"", "Bearer wrong", "right", "Bearer right"} {
		r := httptest.NewRequest(http.MethodGet, "/api/v1/services", nil)
		r.Header.Set("Authorization", header)
		handler.ServeHTTP(httptest.NewRecorder(), r)
	}
	if passed != 1 || m.read().sum(func(request) bool { return true }) != 1 {
		t.Errorf("%d of 4 requests passed and %d were counted, want only the one with the token", passed, m.read().sum(func(request) bool { return true }))
	}
}
