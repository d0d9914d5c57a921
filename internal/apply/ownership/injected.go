package ownership

import "nave.dev/internal/object"

// injected are the fields, by kind, into which controllers inject bundles of
// certificates.
var injected = map[string][]Pattern{
	"MutatingWebhookConfiguration.admissionregistration.k8s.io":   {constant("webhooks[*].clientConfig.caBundle")},
	"ValidatingWebhookConfiguration.admissionregistration.k8s.io": {constant("webhooks[*].clientConfig.caBundle")},
	"CustomResourceDefinition.apiextensions.k8s.io":               {constant("spec.conversion.webhook.clientConfig.caBundle")},
	"APIService.apiregistration.k8s.io":                           {constant("spec.caBundle")},
}

func constant(text string) Pattern {
	p, err := ParsePattern(text)
	if err != nil {
		panic(err) // a constant of this package
	}
	return p
}

// Injected returns the fields of an object into which controllers inject bundles of
// certificates. Whoever owns one there keeps it.
func Injected(id object.ID) []Pattern { return injected[id.GroupKind().String()] }
