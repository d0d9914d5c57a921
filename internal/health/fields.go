package health

import "encoding/json"

// object reads fields of an object without copying. A field that is absent or of another type reads as the zero value:
// objects come from outside, and a rule that meets nonsense must still answer.
type object map[string]any

func (o object) get(path ...string) any {
	var value any = map[string]any(o)
	for _, name := range path {
		fields, ok := value.(map[string]any)
		if !ok {
			return nil
		}
		value = fields[name]
	}
	return value
}

func (o object) object(path ...string) object {
	fields, _ := o.get(path...).(map[string]any)
	return fields
}

func (o object) text(path ...string) string {
	s, _ := o.get(path...).(string)
	return s
}

func (o object) truth(path ...string) bool {
	b, _ := o.get(path...).(bool)
	return b
}

func (o object) list(path ...string) []any {
	l, _ := o.get(path...).([]any)
	return l
}

// number returns an integer field, or missing if it is absent or no number.
func (o object) number(missing int64, path ...string) int64 {
	switch n := o.get(path...).(type) {
	case int64:
		return n
	case float64:
		return int64(n)
	case int:
		return int64(n)
	case int32:
		return int64(n)
	case json.Number:
		if i, err := n.Int64(); err == nil {
			return i
		}
	}
	return missing
}

// objects returns the elements of a list that are objects.
func (o object) objects(path ...string) []object {
	list := o.list(path...)
	found := make([]object, 0, len(list))
	for _, element := range list {
		if fields, ok := element.(map[string]any); ok {
			found = append(found, fields)
		}
	}
	return found
}

// condition is an element of status.conditions.
type condition struct {
	Type    string `json:"type"`
	Status  string `json:"status"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

// holds reports whether the condition's status is True.
func (c condition) holds() bool { return c.Status == "True" }

// explain returns the condition's message, or its reason where there is none.
func (c condition) explain() string {
	if c.Message != "" {
		return c.Message
	}
	return c.Reason
}

func (o object) conditions() []condition {
	list := o.objects("status", "conditions")
	found := make([]condition, len(list))
	for i, c := range list {
		found[i] = condition{Type: c.text("type"), Status: c.text("status"), Reason: c.text("reason"), Message: c.text("message")}
	}
	return found
}

// condition returns the condition of a type, or the zero value.
func (o object) condition(kind string) condition {
	for _, c := range o.list("status", "conditions") {
		if fields, ok := c.(map[string]any); ok && fields["type"] == kind {
			c := object(fields)
			return condition{Type: kind, Status: c.text("status"), Reason: c.text("reason"), Message: c.text("message")}
		}
	}
	return condition{}
}
