// Package metamorphic plays random stories against a spoke and a real API
// server: commits, drift, crashes, a network that breaks, an API server that
// refuses, a record that is set back, limits, budgets, pauses, other writers, in
// any order. Whatever the order, the end must be the state that the last
// commit describes, with nothing deleted that no commit removed. It holds tests
// alone, and the stories that found something, under testdata; a story that
// fails is made as short as it can be and printed in the form in which it is
// kept.
package metamorphic
