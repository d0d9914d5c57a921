// Package lint holds the house rules of this repository as a Go test: who may
// import whom, what every package and exported name must say about itself, how
// large things may grow, and what may not be called or committed. The rules are
// the table in lint_test.go; each is a function from a loaded repository to its
// violations, and the tables that rules read are meant to be amended when a
// package is added. It does not repeat what gofmt, vet and staticcheck find, and
// it offers nothing to other packages.
package lint
