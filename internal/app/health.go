package app

// HealthCheck says by expressions of the Common Expression Language how an object is,
// each of them over the object's own fields. The first one that is true tells, in the
// order of the fields; without one it is on its way.
type HealthCheck struct {
	Group string `json:"group,omitempty"`
	// Kind is empty for all kinds of the group that no other check names.
	Kind       string `json:"kind,omitempty"`
	InProgress string `json:"inProgress,omitempty"`
	Failed     string `json:"failed,omitempty"`
	Current    string `json:"current"`
}
