// Package examples holds the sample fleets, so that the lab can bring one up
// without a checkout. It has no code of its own.
package examples

import "embed"

// Files are the sample fleets, by path from this directory.
//
//go:embed all:ecommerce
var Files embed.FS
